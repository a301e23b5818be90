//! dirleak is its own guest: as process 1 of a virtual machine it obeys the host, everywhere else it is a command. With a
//! word that nobody types it is a reader of a directory, which process 1 starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        dirleak::internals::guest::main();
    }
    if let Some(status) = dirleak::internals::workload::listing::processes::run_if_reader(std::env::args_os()) {
        return status;
    }
    dirleak::internals::cli::main().into()
}
