//! The command line that resumes a run, without its secrets.

use super::super::client::url;
use crate::resume_command::command;

/// Returns this command with `--resume`, without its secrets.
pub(super) fn resume_command(resumes: bool) -> String {
    let (mut is_field, mut has_secrets) = (false, false);
    let shown = |argument: &str| {
        let masked = match is_field {
            true => Some(field_name(argument)),
            false => masked(argument),
        };
        is_field = argument == "--header" || glued_field(argument) == Some("");
        has_secrets |= masked.is_some();
        masked
    };
    let flag = (!resumes).then_some("--resume");
    let command = command(std::env::args_os(), "get", flag, shown);
    let mut command = command.unwrap_or_else(|| "the same command, with --resume".to_owned());
    if has_secrets {
        command += "\n  with the passwords and tokens filled in";
    }
    command
}

/// Returns an argument without its secrets, if it may have some.
fn masked(argument: &str) -> Option<String> {
    let field = argument.strip_prefix("--header=").or_else(|| glued_field(argument));
    if let Some(field) = field.filter(|field| !field.is_empty()) {
        let flag = &argument[..argument.len() - field.len()];
        return Some(format!("{flag}{}", field_name(field)));
    }
    url::without_secrets(argument)
}

/// Finds the text that follows `-H`, also after other short options, as in `-qH`; empty if the
/// field is an argument of its own.
fn glued_field(argument: &str) -> Option<&str> {
    /// Short options with a value, which follows them.
    const WITH_VALUE: [char; 4] = ['i', 'o', 'j', 'A'];
    let options = argument.strip_prefix('-').filter(|options| !options.starts_with('-'))?;
    let at = options.find(|option| option == 'H' || WITH_VALUE.contains(&option))?;
    options[at..].strip_prefix('H')
}

/// Returns a header field without its value.
fn field_name(field: &str) -> String {
    format!("{}: VALUE", field.split(':').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn fields_are_masked_however_they_are_given() {
        for (argument, shown) in [
            ("-HX: secret", Some("-HX: VALUE")),
            ("-qcHX: secret", Some("-qcHX: VALUE")),
            ("--header=X: secret", Some("--header=X: VALUE")),
            ("-oH", None),
            ("-qoHome", None),
            ("--overHead", None),
            ("-q", None),
        ] {
            assert_eq!(masked(argument).as_deref(), shown, "{argument}");
        }
        assert_eq!([glued_field("-H"), glued_field("-qH")], [Some(""); 2]);
    }

    #[test]
    fn the_short_options_with_values_are_known() {
        let mut program = crate::Arguments::command();
        program.build();
        let get = program.find_subcommand("get").unwrap();
        for option in get.get_arguments().filter(|option| option.get_action().takes_values()) {
            let Some(short) = option.get_short() else { continue };
            let glued = glued_field(&format!("-{short}H")).map(str::to_owned);
            assert_eq!(glued, (short == 'H').then(|| "H".to_owned()), "-{short}");
        }
    }
}
