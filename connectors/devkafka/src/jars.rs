//! The broker's Java archives, from Maven.

use crate::KAFKA_VERSION;
use crate::error::{Error, Result, at};
use crate::layout::lock;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Kafka's own log binding, in a version that fits its slf4j 1.7.
const LOG4J_VERSION: &str = "2.24.3";

/// Fetches the archives unless they are there, and returns their folder.
pub(crate) fn fetch(home: &Path) -> Result<PathBuf> {
    let folder = home.join(format!("jars-{KAFKA_VERSION}"));
    let (lib, complete) = (folder.join("lib"), folder.join("complete"));
    let _lock = lock(&home.join(".jars.lock"))?;
    if complete.is_file() {
        return Ok(lib);
    }
    fs::create_dir_all(&lib).map_err(at(&lib))?;
    let pom = folder.join("pom.xml");
    fs::write(&pom, project()).map_err(at(&pom))?;
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies").arg("-DincludeScope=runtime");
    maven.arg(format!("-DoutputDirectory={}", lib.display())).stdin(Stdio::null());
    run(&mut maven, "fetching Apache Kafka with Maven", "mvn", "Maven 3 (package `maven`)")?;
    fs::write(&complete, KAFKA_VERSION).map_err(at(&complete))?;
    Ok(lib)
}

/// Runs a program to its end; what it said goes into the error.
pub(crate) fn run(
    command: &mut Command,
    what: &'static str,
    program: &'static str,
    install: &'static str,
) -> Result<()> {
    let output = match command.output() {
        Ok(output) => output,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Error::Missing { program, install }),
        Err(e) => return Err(at(program)(e)),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
    Err(Error::Failed { what, output: lines[lines.len().saturating_sub(12)..].join("\n") })
}

fn project() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>stillhouse.dev</groupId>\n  <artifactId>kafka</artifactId>\n  <version>1</version>\n  \
         <packaging>pom</packaging>\n  <dependencies>\n{}{}  </dependencies>\n</project>\n",
        dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
    )
}
