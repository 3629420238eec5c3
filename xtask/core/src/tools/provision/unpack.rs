//! Opens a checked download. By the system's tar and unzip: nothing is unpacked before its digest is right, so that there is no hostile
//! archive to fear, and no archive format to carry in this program.

use super::failure::Failure;
use super::files;
use super::home::Place;
use super::names::FileName;
use super::progress::Phase;
use super::work::{Built, Work};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How a download is packed.
enum Packing {
    Archive { opener: &'static str, options: &'static [&'static str] },
    Plain,
}

impl Packing {
    fn of(file: &FileName) -> Packing {
        let name = file.as_str();
        if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            // `-o`: files belong to whoever unpacks, also when that is root.
            Packing::Archive { opener: "tar", options: &["-x", "-z", "-o", "-f"] }
        } else if name.ends_with(".zip") {
            Packing::Archive { opener: "unzip", options: &["-q", "-o"] }
        } else {
            Packing::Plain
        }
    }
}

/// Puts the program of a download into its place. The download is gone afterwards.
pub(super) async fn unpack(
    work: &Work<'_>,
    file: &FileName,
    part: &Path,
    place: &Place,
) -> Result<Built, Failure> {
    let program = place.folder.join(work.pin.bin.as_str());
    match Packing::of(file) {
        Packing::Plain => fs::rename(part, &program).map_err(Failure::io("cannot write", &program))?,
        Packing::Archive { opener, options } => {
            let opener = work.need(opener)?;
            let unpacked = place.folder.join("unpacked");
            fs::create_dir(&unpacked).map_err(Failure::io("cannot make", &unpacked))?;
            let mut args: Vec<OsString> = options.iter().map(OsString::from).collect();
            args.push(part.into());
            work.run(Phase::Unpacking, &opener, &args, &unpacked, &[]).await?;
            let mut found =
                named(&unpacked, work.pin.bin.as_str()).map_err(Failure::io("cannot read", &unpacked))?;
            let (Some(inside), None) = (found.pop(), found.pop()) else {
                let why = format!("{file} does not hold exactly one file called `{}`", work.pin.bin);
                return Err(Failure::failed(why));
            };
            fs::rename(&inside, &program).map_err(Failure::io("cannot write", &program))?;
            files::remove(&unpacked).map_err(Failure::io("cannot remove", &unpacked))?;
            files::remove(part).map_err(Failure::io("cannot remove", part))?;
        }
    }
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&program, executable).map_err(Failure::io("cannot make executable", &program))?;
    Ok(Built { program, environment: None })
}

/// Every file of that name below a folder. Links do not count: they would run something else than what was checked.
fn named(folder: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        for entry in fs::read_dir(current)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && entry.file_name() == name {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}
