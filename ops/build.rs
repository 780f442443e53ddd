//! Tells the binary which optional parts it was built with, for `--version`.

fn main() {
    let kafka =
        if std::env::var_os("CARGO_FEATURE_KAFKA").is_some() { "embedded, kafka" } else { "embedded; without kafka" };
    println!("cargo::rustc-env=STILLHOUSE_FEATURES={kafka}");
    println!("cargo::rerun-if-changed=build.rs");
}
