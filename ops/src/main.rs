//! The `stillhouse` command.

// Batches of events are made on one thread and freed on another all day: the system's allocator keeps what it freed in
// arenas of threads, so that memory grew with the data.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    stillhouse::main()
}
