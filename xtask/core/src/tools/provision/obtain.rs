//! One tool from the first source that can give it: under the tool's lock, each source in turn, nothing published before it has run.

use super::failure::{Failure, Reason, Tried};
use super::files::Stamp;
use super::home::{self, Found, Manifest, Place};
use super::lock::Source;
use super::progress::Phase;
use super::work::{Built, Work};
use super::{Tool, fetch, golang, installed, on_path, probe, pypi, unpack};

impl Work<'_> {
    /// The tool from the first source that can give it, or what each of them said.
    pub(super) async fn obtain(&self) -> Result<Tool, Vec<Tried>> {
        let mut tried = Vec::new();
        let mut notes = Vec::new();
        let mut held = None;
        for source in &self.pin.sources {
            let described = self.setup.describe(source);
            let failure = if let Source::Path = source {
                match probe::ask(self).await {
                    Ok(found) => return Ok(on_path(self.pin, found)),
                    Err(failure) => failure,
                }
            } else {
                if held.is_none() {
                    let folder = self.setup.home.of(&self.pin.name);
                    match home::hold(&folder, self.cancel, || self.progress.phase(Phase::Waiting)).await {
                        Ok(lock) => held = Some(lock),
                        Err(failure) => {
                            tried.push(failure.of("cache"));
                            break;
                        }
                    }
                    match self.settle().await {
                        Ok(manifest) => return Ok(installed(manifest, Vec::new())),
                        Err(damages) => notes.extend(damages),
                    }
                }
                match self.install(source, &described).await {
                    Ok(manifest) => return Ok(installed(manifest, notes)),
                    Err(failure) => failure,
                }
            };
            let reason = failure.reason;
            let failed = failure.of(described);
            if reason == Reason::Refused {
                notes.push(format!("refused, and had from elsewhere: {failed}"));
            }
            tried.push(failed);
            if reason == Reason::Cancelled {
                break;
            }
        }
        Err(tried)
    }

    /// What is already there, seen under the lock: another run may have installed it meanwhile, and files that only look different
    /// may have the right digests. Otherwise says what is damaged and will be replaced.
    async fn settle(&self) -> Result<Manifest, Vec<String>> {
        let mut damages = Vec::new();
        for source in self.pin.sources.iter().filter(|source| !matches!(source, Source::Path)) {
            let place = self.setup.place(self.pin, source);
            let damage = match place.look() {
                Found::Whole(manifest) => return Ok(manifest),
                Found::Nothing => continue,
                Found::Damaged(why) => why,
                Found::Touched(manifest) => match self.touched(&place, manifest).await {
                    Ok(manifest) => return Ok(manifest),
                    Err(failure) => failure.why,
                },
            };
            damages.push(format!("{} was installed again: {damage}", self.pin.name));
        }
        Err(damages)
    }

    /// A cache that was copied or restored has other times and inodes. If all digests hold, it is as good as new.
    async fn touched(&self, place: &Place, mut manifest: Manifest) -> Result<Manifest, Failure> {
        self.progress.phase(Phase::Checking);
        let place = place.clone();
        self.blocking(move || {
            place.examine(&manifest).map_err(Failure::refused)?;
            let now = Stamp::of(&manifest.program.path);
            manifest.program = now.map_err(Failure::io("cannot read", &manifest.program.path))?;
            // If it cannot be written, all is hashed again next time.
            let _ = place.write(&manifest);
            Ok(manifest)
        })
        .await
    }

    async fn install(&self, source: &Source, described: &str) -> Result<Manifest, Failure> {
        let place = self.setup.place(self.pin, source);
        place.clear()?;
        std::fs::create_dir_all(&place.folder).map_err(Failure::io("cannot make", &place.folder))?;
        let published = match self.fill(source, &place).await {
            Ok(built) => self.publish(&place, described, built).await,
            Err(failure) => Err(failure),
        };
        match &published {
            Ok(_) => home::sweep(&self.setup.home.of(&self.pin.name)),
            // The failure that matters is the first one; the next run clears the place anyway.
            Err(_) => drop(place.clear()),
        }
        published
    }

    async fn fill(&self, source: &Source, place: &Place) -> Result<Built, Failure> {
        match source {
            Source::Path => Err(Failure::unsuitable("nothing to install")),
            Source::Archive(archive) => {
                let Some(platform) = self.setup.platform else {
                    return Err(Failure::unsuitable("no release file is made for this machine"));
                };
                let Some((url, file)) = archive.for_platform(platform) else {
                    return Err(Failure::unsuitable(format!(
                        "tools.lock has no release file for {platform}"
                    )));
                };
                let _permit = self.setup.many.acquire().await;
                let part = self.setup.home.of(&self.pin.name).join(format!("{}.part", file.sha256));
                fetch::fetch(self, &url, Some(&file.sha256), &part).await?;
                unpack::unpack(self, &file.file, &part, place).await
            }
            Source::Go(module) => golang::install(self, module, place).await,
            Source::Gomod(build) => golang::build(self, build, place).await,
            Source::Pypi(wheels) => pypi::install(self, wheels).await,
        }
    }

    /// Lets it say its version, because a right file may still not fit the machine, and then declares it installed.
    async fn publish(&self, place: &Place, described: &str, built: Built) -> Result<Manifest, Failure> {
        self.progress.phase(Phase::Checking);
        if self.pin.probe.is_some() {
            let said = self.probe(&built.program).await.map_err(|failure| Failure {
                reason: failure.reason,
                why: format!("it was installed but does not run: {}", failure.why),
            })?;
            let found = probe::version_in(&said, self.pin).unwrap_or("none");
            if found != self.pin.version.as_str() {
                let why = format!("it says version {found}, and tools.lock pins {}", self.pin.version);
                return Err(Failure::refused(why));
            }
        }
        let (place, pin, described) = (place.clone(), self.pin.clone(), described.to_owned());
        self.blocking(move || place.publish(&pin, &described, built)).await
    }
}
