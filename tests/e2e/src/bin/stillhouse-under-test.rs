//! The real command line, built here so that the tests of this package get its path from Cargo.

fn main() -> std::process::ExitCode {
    stillhouse::main()
}
