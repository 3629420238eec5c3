//! The names that a pushed digest gets: its commit, `main` on that branch, and what was asked for. A name must not lie: an image of
//! a checkout with changes that are not committed has no commit.

use crate::push::reference::Tag;
use std::path::Path;
use xtask_core::config::GitHub;
use xtask_core::process::query;

/// What git says about the checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checkout {
    /// It is none, or git cannot be asked, as a sentence.
    Unknown(String),
    /// A commit with changes upon it.
    Changed,
    /// A commit as it is.
    Clean {
        /// The full hash.
        commit: String,
        /// The branch, unless the commit was checked out by itself.
        branch: Option<String>,
    },
}

/// The branch whose last image has its name.
const MAIN: &str = "main";

/// Asks git.
pub(super) fn look(root: &Path) -> Checkout {
    let ask = |args: &[&str]| {
        let answer = query::ask(root, "git", args, None);
        answer.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let commit = match ask(&["rev-parse", "--verify", "HEAD"]) {
        Ok(commit) => commit,
        Err(error) => return Checkout::Unknown(error.to_string()),
    };
    match ask(&["status", "--porcelain", "--untracked-files=normal"]) {
        Ok(changes) if changes.is_empty() => {
            Checkout::Clean { commit, branch: ask(&["symbolic-ref", "--quiet", "--short", "HEAD"]).ok() }
        }
        Ok(_) => Checkout::Changed,
        Err(error) => Checkout::Unknown(error.to_string()),
    }
}

/// The names, each once, and what a person should know about those that are missing.
pub(super) fn names(
    checkout: &Checkout,
    job: Option<&GitHub>,
    asked: Vec<Tag>,
) -> (Vec<Tag>, Option<String>) {
    let (mut names, missing) = match checkout {
        Checkout::Unknown(why) => (Vec::new(), Some(format!("NOT named after a commit: {why}"))),
        Checkout::Changed => {
            let why = "NOT named after its commit: the checkout has changes that are not committed";
            (Vec::new(), Some(why.to_owned()))
        }
        Checkout::Clean { commit, branch } => {
            let of_job = |job: &GitHub| {
                // A job checks out a commit and no branch; that it is the branch's is certain only for the job's own commit.
                job.git_ref.as_deref() == Some("refs/heads/main") && job.sha.as_ref() == Some(commit)
            };
            let main = job.map_or(branch.as_deref() == Some(MAIN), of_job);
            let own = [Some(commit.as_str()), main.then_some(MAIN)].into_iter().flatten();
            (own.filter_map(|name| Tag::try_from(name.to_owned()).ok()).collect(), None)
        }
    };
    for tag in asked {
        if !names.contains(&tag) {
            names.push(tag);
        }
    }
    (names, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn clean(branch: Option<&str>) -> Checkout {
        Checkout::Clean { commit: COMMIT.into(), branch: branch.map(str::to_owned) }
    }

    fn job(git_ref: &str, sha: &str) -> GitHub {
        GitHub { git_ref: Some(git_ref.into()), sha: Some(sha.into()), ..GitHub::default() }
    }

    #[test]
    fn a_digest_is_named_after_its_commit_and_only_on_main_after_the_branch() {
        let on_main = job("refs/heads/main", COMMIT);
        let table = [
            (clean(Some("main")), None, vec![COMMIT, "main"]),
            (clean(Some("maintenance")), None, vec![COMMIT]),
            (clean(None), None, vec![COMMIT]),
            (clean(None), Some(&on_main), vec![COMMIT, "main"]),
            (clean(None), Some(&job("refs/heads/main", "another")), vec![COMMIT]),
            (clean(Some("main")), Some(&job("refs/pull/7/merge", COMMIT)), vec![COMMIT]),
            (clean(Some("main")), Some(&job("refs/tags/main", COMMIT)), vec![COMMIT]),
            (Checkout::Changed, Some(&on_main), vec![]),
            (Checkout::Unknown("no git".into()), None, vec![]),
        ];
        for (checkout, job, expected) in table {
            let (found, missing) = names(&checkout, job, Vec::new());
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{checkout:?} {job:?}");
            assert_eq!(missing.is_some(), expected.is_empty());
        }
    }

    #[test]
    fn names_that_were_asked_for_come_last_and_each_name_once() {
        let asked = ["v1", "main", "v1"].map(|tag| Tag::try_from(tag.to_owned()).unwrap());
        let (found, _) = names(&clean(Some("main")), None, asked.clone().into());
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [COMMIT, "main", "v1"]);
        let (found, missing) = names(&Checkout::Changed, None, asked.into());
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["v1", "main"]);
        assert!(missing.unwrap().contains("not committed"));
    }

    #[test]
    fn git_is_asked_about_the_checkout_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let git = |args: &[&str]| {
            let own = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
            query::ask(root, "git", &[&own[..], args].concat(), None).unwrap();
        };
        assert!(matches!(look(root), Checkout::Unknown(_)));
        git(&["init", "-q", "-b", "main"]);
        assert!(matches!(look(root), Checkout::Unknown(_)), "there is no commit yet");
        git(&["commit", "-q", "--allow-empty", "-m", "one"]);
        let Checkout::Clean { commit, branch } = look(root) else { panic!("{:?}", look(root)) };
        assert_eq!((commit.len(), branch.as_deref()), (40, Some("main")));
        git(&["checkout", "-q", "--detach"]);
        assert_eq!(look(root), Checkout::Clean { commit, branch: None });
        std::fs::write(root.join("new"), "x").unwrap();
        assert_eq!(look(root), Checkout::Changed);
    }
}
