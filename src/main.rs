//! dirleak is its own guest: as process 1 of a virtual machine it obeys the host, everywhere else it is a command.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        dirleak::guest::main();
    }
    dirleak::cli::main().into()
}
