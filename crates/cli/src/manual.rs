//! `overlapped completions` and `overlapped man`: shell completions and manual pages, generated
//! from the declarations of the arguments.

use std::process::ExitCode;

use anyhow::bail;
use clap::Command;
use clap_complete::Shell;

use crate::stdout::print;

/// Prints a script that completes this program's arguments in a shell.
///
///   bash   overlapped completions bash > ~/.local/share/bash-completion/completions/overlapped
///   zsh    overlapped completions zsh > ~/.zfunc/_overlapped
///   fish   overlapped completions fish > ~/.config/fish/completions/overlapped.fish
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Prints a manual page in the format of man(1), for the program or one of its commands.
///
///   overlapped man | man -l -
///   overlapped man serve http > overlapped-serve-http.1
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Man {
    /// The command, such as `serve http`; by default the whole program
    command: Vec<String>,
}

/// Prints the completions of `program`.
pub(crate) fn completions(
    arguments: &Completions,
    mut program: Command,
) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "overlapped", &mut script);
    print(String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page of `program`, or of one of its commands.
pub(crate) fn man(arguments: &Man, mut program: Command) -> anyhow::Result<ExitCode> {
    program.build();
    let mut command = &program;
    for name in &arguments.command {
        let Some(found) = command.find_subcommand(name) else {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            let (parent, names) = (command.get_name(), names.join(", "));
            bail!("{parent} has no command {name}: its commands are {names}")
        };
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    print(String::from_utf8_lossy(&page))?;
    Ok(ExitCode::SUCCESS)
}
