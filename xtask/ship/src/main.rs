//! The full binary. A guard process is the same file under another first argument, and must start as fast as it can.

fn main() -> std::process::ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == xtask_core::process::GUARD_ARGUMENT) {
        return xtask_core::process::guard::main();
    }
    std::process::ExitCode::from(xtask_ship::main(&xtask_core::config::Ambient::read()).number())
}
