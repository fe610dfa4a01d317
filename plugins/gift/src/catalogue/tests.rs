//! Gifts as rows and as JSON: what is written is what is read.

use super::*;

fn row(gift: &Gift) -> Vec<db::Value> {
    let mut row = gift.to_params(0).unwrap();
    // The statement `catalogue` gives the columns in the order of the parameters, without the times.
    row.truncate(9);
    row
}

fn change(body: &str) -> Result<Gift, Problem> {
    let change: Change = serde_json::from_str(body).map_err(|e| Problem::invalid(e.to_string()))?;
    change.into_gift(Id::new(3001).unwrap())
}

#[test]
fn a_new_installation_has_a_dozen_gifts_and_the_rose_costs_ten() {
    let gifts: Vec<Gift> = seeds::gifts().collect();
    assert_eq!(gifts.len(), 12);
    let rose = gifts.iter().find(|gift| gift.gift_id.get() == 2002).unwrap();
    assert_eq!((rose.price, rose.asset_type), (Amount::new(10), GOLD));
}

#[test]
fn what_is_written_is_what_is_read() {
    for gift in seeds::gifts() {
        assert_eq!(Gift::from_row(row(&gift)), Ok(gift));
    }
}

#[test]
fn a_row_that_is_no_gift_says_which() {
    let rose = seeds::gifts().nth(1).unwrap();
    let with = |column: usize, value: db::Value| {
        let mut row = row(&rose);
        row[column] = value;
        Gift::from_row(row).unwrap_err()
    };
    assert!(with(3, db::Value::Integer(0)).contains("gift 2002: price 0"));
    assert!(with(2, db::Value::Integer(-1)).contains("asset type -1"));
    assert!(with(8, db::Value::Text("{\"x\":1}".into())).contains("send rule"));
    assert!(with(1, db::Value::Null).contains("another kind"));
    assert!(Gift::from_row(Vec::new()).unwrap_err().contains("0 columns"));
}

#[test]
fn an_operator_s_gift_is_filled_in_and_checked() {
    let gift = change(r#"{"name":"Kite","price":"15","sendRule":{"minLevel":2}}"#).unwrap();
    assert_eq!((gift.price, gift.asset_type, gift.category.as_str()), (Amount::new(15), GOLD, "basic"));
    let cases = [
        (r#"{"price":1}"#, "name"),
        (r#"{"name":"","price":1}"#, "name"),
        (r#"{"name":"Kite","price":0}"#, "price"),
        (r#"{"name":"Kite","price":-5}"#, "price"),
        (r#"{"name":"Kite","price":1.5}"#, "whole number"),
        (r#"{"name":"Kite","price":1,"assetType":0}"#, "assetType"),
        (r#"{"name":"Kite","price":1,"colour":"red"}"#, "colour"),
        (r#"{"name":"Kite","price":1,"sendRule":{"level":1}}"#, "level"),
    ];
    for (body, named) in cases {
        let problem = change(body).unwrap_err();
        assert!(problem.detail.contains(named), "{body}: {}", problem.detail);
    }
}
