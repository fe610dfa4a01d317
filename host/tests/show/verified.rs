//! The scripts of `examples`, which everybody can run.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn run(script: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(script);
    let output = Command::new("python3").arg(script).args(arguments).output();
    output.unwrap_or_else(|e| panic!("python3: {e}; install Debian's package `python3`"))
}

/// Asserts that a verifier was satisfied.
pub fn accepted(output: &Output, of: &Value) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}\n{of}", String::from_utf8_lossy(&output.stderr));
}

/// A closed packet and the list of who grabbed.
pub fn packet(packet: &Value, grabs: &[Value]) {
    let folder = tempfile::TempDir::new().unwrap();
    let files = ["packet", "grabs"].map(|name| folder.path().join(name));
    std::fs::write(&files[0], packet.to_string()).unwrap();
    std::fs::write(&files[1], json!({ "items": grabs }).to_string()).unwrap();
    accepted(&run("verify-packet.py", &files), packet);
}

/// A drawn lottery, which the script reads itself: server, room, lottery, token.
pub fn served(arguments: &[&str], of: &Value) {
    accepted(&run("verify-lottery.py", arguments), of);
}

/// A drawn lottery and all its entrants.
pub fn lottery(lottery: &Value, entrants: &[Value]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let data = json!({ "lottery": lottery, "entrants": entrants }).to_string();
    std::io::Write::write_all(&mut file, data.as_bytes()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/verify-lottery.py");
    let input = std::fs::File::open(file.path()).unwrap();
    let output = Command::new("python3").arg(script).arg("-").stdin(input).output().unwrap();
    accepted(&output, lottery);
}
