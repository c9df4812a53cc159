//! `airlock robot`: the accounts of programs that push to the registry or pull from it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use audit::EventType;
use clap::{Args, Subcommand, ValueEnum};
use private::Readers;
use registry::server::access::{Allow, NewRobot, RepositoryPattern, Robot, RobotScope, RobotState, Robots};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::cli::time_of;
use crate::env;
use crate::failure::{Status, unusable};
use crate::files::{lock_folder_of, read, write};
use crate::logged::{Logs, Work};
use crate::printer::{Printer, row};

#[derive(Debug, Subcommand)]
pub(crate) enum RobotCommand {
    /// Create a robot account, and print its secret once.
    Create(Create),
    /// List robot accounts.
    List {
        #[command(flatten)]
        file: FileArg,
    },
    /// Revoke a robot account. Its name cannot be used again.
    #[command(after_help = "A running registry refuses the account when it reads the file again.\n\
        Example: airlock robot revoke ci --file robots.json")]
    Revoke {
        /// The name, without `robot$`.
        name: String,
        /// Print what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        file: FileArg,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "The account logs in as robot$NAME. It may do what the registry's policies allow `robot:NAME` and\n\
    `authenticated`, within the scope that --repository and --allow give.\n\
    Example: airlock robot create ci --file robots.json --repository 'team-a/**' --allow pull,push --expires 90d"
)]
pub(crate) struct Create {
    /// The name, without `robot$`.
    pub(crate) name: String,
    /// The purpose, for people.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) description: String,
    /// The account's last moment: a time from now, such as 90d, 12h or 4w, or a date or time. Default: it does not expire.
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    pub(crate) expires: Option<Expiry>,
    /// The repositories of the account's scope: a name or a pattern such as `team-a/**`. Can be repeated.
    #[arg(long, value_name = "PATTERN", requires = "allow")]
    pub(crate) repository: Vec<RepositoryPattern>,
    /// The actions of the account's scope, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ACTION", requires = "repository")]
    pub(crate) allow: Vec<AllowArg>,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) file: FileArg,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FileArg {
    /// The file of robot accounts, which the registry's configuration names as `access.robots`.
    #[arg(long, env = env::ROBOTS, value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AllowArg {
    /// Read.
    Pull,
    /// Push, and overwrite tags.
    Push,
    /// Delete.
    Delete,
    /// All of these.
    Admin,
}

/// When an account expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    In(Duration),
    At(OffsetDateTime),
}

/// `90d`, `12h`, `4w`, a date or a time.
fn expiry(text: &str) -> Result<Expiry, String> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0).map(i64::from);
    let relative = text.char_indices().last().and_then(|(at, unit)| {
        let number = number(&text[..at])?;
        Some(match unit {
            'h' => Duration::hours(number),
            'd' => Duration::days(number),
            'w' => Duration::weeks(number),
            _ => return None,
        })
    });
    match relative {
        Some(duration) => Ok(Expiry::In(duration)),
        None => time_of(text).map(Expiry::At).map_err(|error| format!("{error}, or 90d, 12h or 4w")),
    }
}

impl From<AllowArg> for Allow {
    fn from(action: AllowArg) -> Self {
        match action {
            AllowArg::Pull => Self::Pull,
            AllowArg::Push => Self::Push,
            AllowArg::Delete => Self::Delete,
            AllowArg::Admin => Self::Admin,
        }
    }
}

pub(crate) fn run(command: &RobotCommand, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let (kind, name, dry_run) = match command {
        RobotCommand::List { file } => return list(&file.file, printer),
        RobotCommand::Create(create) => (EventType::RobotCreate, &create.name, create.dry_run),
        RobotCommand::Revoke { name, dry_run, .. } => (EventType::RobotRevoke, name, *dry_run),
    };
    let act = |work: Option<&mut Work<'_>>| match command {
        RobotCommand::Create(settings) => create(settings, work, printer),
        RobotCommand::Revoke { name, file, .. } => revoke(name, &file.file, work, printer),
        RobotCommand::List { file } => list(&file.file, printer),
    };
    if dry_run {
        return act(None);
    }
    let user = format!("{}{name}", Robots::PREFIX);
    let mut work = logs.begin(kind, "robot", &user, None, printer)?;
    let result = act(Some(&mut work));
    work.end(result)
}

/// Creates an account; without `work`, only shows it.
fn create(settings: &Create, work: Option<&mut Work<'_>>, printer: &Printer) -> anyhow::Result<Status> {
    let file = &settings.file.file;
    let _lock = lock_folder_of(file)?;
    let robots = if file.exists() { parsed(file)? } else { Robots::default() };
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let expires = match settings.expires {
        None => None,
        Some(Expiry::At(time)) => Some(time),
        Some(Expiry::In(duration)) => Some(now.checked_add(duration).context("the date is too far away")?),
    };
    let scope = (!settings.repository.is_empty()).then(|| RobotScope {
        repositories: settings.repository.clone(),
        allow: settings.allow.iter().copied().map(Allow::from).collect(),
    });
    let (name, description) = (settings.name.clone(), settings.description.clone());
    let new = NewRobot { name, description, expires, scope: scope.into_iter().collect() };
    let mut random = [0; Robots::RANDOM];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("cannot get random bytes: {error}"))?;
    let (robots, secret) = robots.create(new, now, &random)?;
    let robot = robots.robot(&settings.name).context("the account is not in the file")?;
    let mut value = shown(robot, now)?;
    value["file"] = json!(file);
    let Some(work) = work else {
        value["dryRun"] = json!(true);
        printer.result(&value, |value| format!("would create {} in {}\n", line(value), file.display()))?;
        return Ok(Status::Done);
    };
    // Hashes of random secrets need no protection, and the registry may run as another user.
    write(file, robots.to_text()?.as_bytes(), Readers::All)?;
    for name in ["expires", "scope"] {
        if let Some(text) = value[name].as_str() {
            work.evidence(name, text);
        }
    }
    work.evidence("file", &file.display());
    work.done()?;
    value["secret"] = json!(secret);
    printer.say(&format!("created {} in {}; its secret is not shown again", line(&value), file.display()));
    printer.result(&value, |_| secret + "\n")?;
    Ok(Status::Done)
}

/// Revokes an account; without `work`, only shows it.
fn revoke(name: &str, file: &Path, work: Option<&mut Work<'_>>, printer: &Printer) -> anyhow::Result<Status> {
    let _lock = lock_folder_of(file)?;
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let robots = parsed(file)?.revoke(name, now)?;
    let mut value = shown(robots.robot(name).context("the account is not in the file")?, now)?;
    value["file"] = json!(file);
    let verb = match work {
        None => {
            value["dryRun"] = json!(true);
            "would revoke"
        }
        Some(work) => {
            write(file, robots.to_text()?.as_bytes(), Readers::All)?;
            work.evidence("file", &file.display());
            work.done()?;
            "revoked"
        }
    };
    printer.result(&value, |value| format!("{verb} {} in {}\n", text(&value["user"]), file.display()))?;
    Ok(Status::Done)
}

fn list(file: &Path, printer: &Printer) -> anyhow::Result<Status> {
    let now = OffsetDateTime::now_utc();
    let mut listing = printer.listing();
    for robot in parsed(file)?.iter() {
        listing.item(&shown(robot, now)?, |value| row(&line(value)))?;
    }
    listing.end()?;
    Ok(Status::Done)
}

fn parsed(file: &Path) -> anyhow::Result<Robots> {
    let failed = format!("the file of robot accounts `{}` cannot be used", file.display());
    Robots::parse(&read(file)?).map_err(unusable(failed))
}

/// An account as it is shown.
fn shown(robot: &Robot, now: OffsetDateTime) -> anyhow::Result<Value> {
    let state = match robot.state(now) {
        RobotState::Active => "active",
        RobotState::Expired => "expired",
        RobotState::Revoked => "revoked",
    };
    let time = |time: Option<OffsetDateTime>| time.map(|time| time.format(&Rfc3339)).transpose();
    Ok(json!({
        "name": robot.name, "user": format!("{}{}", Robots::PREFIX, robot.name), "state": state,
        "description": robot.description, "created": time(Some(robot.created))?, "expires": time(robot.expires)?,
        "revoked": time(robot.revoked)?, "scope": scope_text(&robot.scope),
    }))
}

/// A scope in one line: `team-a/**: pull, push`; none if only the policies decide.
fn scope_text(scope: &[RobotScope]) -> Option<String> {
    let part = |part: &RobotScope| {
        let repositories: Vec<_> = part.repositories.iter().map(ToString::to_string).collect();
        let actions: Vec<_> = part.allow.iter().map(|action| action.as_str()).collect();
        format!("{}: {}", repositories.join(" "), actions.join(", "))
    };
    (!scope.is_empty()).then(|| scope.iter().map(part).collect::<Vec<_>>().join("; "))
}

/// The line of an account.
fn line(value: &Value) -> String {
    let mut line = format!("{} ({}", text(&value["user"]), text(&value["state"]));
    for (name, before) in
        [("expires", "expires "), ("revoked", "on "), ("scope", "scope "), ("description", "")]
    {
        let found = text(&value[name]);
        if !found.is_empty() {
            line += &format!("; {before}{found}");
        }
    }
    line + ")"
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_from_now_or_a_date() {
        assert_eq!(expiry("90d"), Ok(Expiry::In(Duration::days(90))));
        assert_eq!(expiry("12h"), Ok(Expiry::In(Duration::hours(12))));
        assert_eq!(expiry("4w"), Ok(Expiry::In(Duration::weeks(4))));
        assert_eq!(expiry("2027-01-01"), Ok(Expiry::At(time_of("2027-01-01").unwrap())));
        for bad in ["", "d", "0d", "-1d", "1.5d", "90", "90m", "99999999999d", "tomorrow", "9é"] {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }
}
