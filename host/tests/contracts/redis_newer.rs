//! A Redis that says it is a newer one: the server behind it does all but `WAITAOF`, which is answered here as a test likes. Debian's
//! Redis is 7.0 and has no such command.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

pub(crate) struct Newer {
    port: u16,
    shared: Arc<Mutex<Shared>>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Shared {
    /// Disks of the master, of replicas.
    told: (i64, i64),
    /// What the last WAITAOF was asked with.
    asked: Vec<String>,
}

impl Newer {
    pub(crate) async fn open(behind: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Mutex<Shared>>::default();
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(serve(stream, behind.clone(), Arc::clone(&serving)));
            }
        });
        Self { port, shared, accepting: accepting.abort_handle() }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many disks it tells of from now on: the master's own, and of replicas.
    pub(crate) fn tell(&self, told: (i64, i64)) {
        self.shared.lock().unwrap().told = told;
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.clone()
    }
}

impl Drop for Newer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection: a command at a time, until it is closed.
async fn serve(mut stream: TcpStream, behind: String, shared: Arc<Mutex<Shared>>) {
    let mut first = [0; 64];
    let seen = stream.peek(&mut first).await.unwrap_or_default();
    // The push bus speaks another protocol, in which nothing is waited for.
    if String::from_utf8_lossy(&first[..seen]).contains("HELLO") {
        let mut server = TcpStream::connect(behind.trim_start_matches("redis://")).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
        return;
    }
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let client = redis::Client::open(behind).unwrap();
    let Ok(mut server) = client.get_multiplexed_async_connection_with_config(&patient).await else { return };
    let (reading, mut writing) = stream.split();
    let mut reading = BufReader::new(reading);
    while let Ok(words) = read(&mut reading).await {
        let mut written = Vec::new();
        write(&answer(&mut server, &words, &shared).await, &mut written);
        if writing.write_all(&written).await.is_err() {
            return;
        }
    }
}

/// A command: an array of texts.
async fn read(reading: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Vec<Vec<u8>>> {
    let count = length(reading, '*').await?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let mut word = vec![0; length(reading, '$').await? + 2];
        reading.read_exact(&mut word).await?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Ok(words)
}

async fn length(reading: &mut (impl AsyncBufRead + Unpin), sign: char) -> std::io::Result<usize> {
    let mut line = String::new();
    reading.read_line(&mut line).await?;
    let length = line.strip_prefix(sign).and_then(|length| length.trim_end().parse().ok());
    length.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

async fn answer(server: &mut MultiplexedConnection, words: &[Vec<u8>], shared: &Mutex<Shared>) -> Value {
    let name = String::from_utf8_lossy(&words[0]).to_uppercase();
    if name == "WAITAOF" {
        let mut shared = shared.lock().unwrap();
        shared.asked = words[1..].iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        return Value::Array(vec![Value::Int(shared.told.0), Value::Int(shared.told.1)]);
    }
    let mut cmd = redis::Cmd::new();
    words.iter().for_each(|word| {
        cmd.arg(word.as_slice());
    });
    match server.send_packed_command(&cmd).await {
        Ok(Value::BulkString(info)) if name == "INFO" => {
            let info = String::from_utf8(info).unwrap();
            Value::BulkString(info.replace("redis_version:7.0.", "redis_version:7.2.").into_bytes())
        }
        Ok(value) => value,
        Err(error) => Value::SimpleString(format!("\0{}", error_line(&error))),
    }
}

/// As a server writes it.
fn error_line(error: &redis::RedisError) -> String {
    format!("{} {}", error.code().unwrap_or("ERR"), error.detail().unwrap_or_default())
}

fn write(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Nil => to.extend(b"$-1\r\n"),
        Value::Int(number) => to.extend(format!(":{number}\r\n").bytes()),
        Value::Okay => to.extend(b"+OK\r\n"),
        Value::SimpleString(text) => match text.strip_prefix('\0') {
            Some(error) => to.extend(format!("-{error}\r\n").bytes()),
            None => to.extend(format!("+{text}\r\n").bytes()),
        },
        Value::BulkString(bytes) => {
            to.extend(format!("${}\r\n", bytes.len()).bytes());
            to.extend(bytes);
            to.extend(b"\r\n");
        }
        Value::Array(values) => {
            to.extend(format!("*{}\r\n", values.len()).bytes());
            values.iter().for_each(|value| write(value, to));
        }
        Value::ServerError(error) => {
            to.extend(format!("-{} {}\r\n", error.code(), error.details().unwrap_or_default()).bytes());
        }
        other => panic!("{other:?} is not spoken here"),
    }
}
