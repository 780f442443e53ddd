//! The `stillhouse` command.

fn main() -> std::process::ExitCode {
    stillhouse::main()
}
