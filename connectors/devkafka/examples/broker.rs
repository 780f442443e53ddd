//! Starts, kills or stops a broker: `cargo run --example broker -- up|kill|down|purge [NAME] [PORT]`.

use std::io::Write;
use stillhouse_devkafka::{Settings, default_home, down, kill, up};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut settings = Settings::new(default_home()?);
    if let Some(name) = arguments.get(1) {
        settings.instance.clone_from(name);
    }
    if let Some(port) = arguments.get(2) {
        settings.port = port.parse()?;
    }
    let said = match arguments.first().map(String::as_str) {
        Some("up") => format!("{:?}", up(&settings)?),
        Some("kill") => format!("{}", kill(&settings.home, &settings.instance)?),
        Some("down") => format!("{}", down(&settings.home, &settings.instance, false)?),
        Some("purge") => format!("{}", down(&settings.home, &settings.instance, true)?),
        _ => return Err("up, kill, down or purge".into()),
    };
    writeln!(std::io::stdout(), "{said}")?;
    Ok(())
}
