//! Several releases as one: forward in an order, back in reverse when one of them is bad.
//!
//! - `order`, `state`: pure: who comes after whom; who moves next. - `plan`: what is approved. - `record`: what the cluster remembers.
//! - `drive`: carries a set to its end. - Here: the commands.

mod drive;
mod order;
mod plan;
mod record;
mod state;

pub(crate) use plan::SetPlan;

use super::approved::{self, Approvable, Approved};
use super::deploy::{self, Image};
use super::error::ReleaseError;
use super::journal::Journal;
use super::lock::{Held, Place};
use super::open::{self, Cx, Opener};
use super::phase::Phase;
use super::{How, Shown, handover, how, recover, report, status};
use crate::helm::Chart;
use drive::{Member, SetDrive};
use futures_util::future::{join_all, try_join_all};
use order::Order;
use record::{SetEnding, SetRecord};
use state::Turn;
use std::collections::BTreeMap;
use xtask::cli::{Command, ReleaseArgs};
use xtask_core::error::ExitCode;
use xtask_core::ids::ServiceName;

/// The members whose locks are held.
type Members = BTreeMap<ServiceName, Member>;

/// What is done with a set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Words<'a> {
    /// Releases what was built, or what the environment before has proven if there is one.
    Deploy { named: &'a [ServiceName], how: How<'a> },
    /// Releases what the environment before has proven.
    Promote { named: &'a [ServiceName], how: How<'a> },
    /// Finishes what was left, or forgets it.
    Recover { forget: bool },
    /// Shows all of them.
    Status { named: &'a [ServiceName] },
}

/// What the command line says of a set. None if it means one release.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other command knows sets")]
pub(crate) fn words(command: &Command) -> Option<Words<'_>> {
    match command {
        Command::Deploy(args) => {
            let how = how(args.dry_run, args.plan.as_deref());
            args.set.set.as_deref().map(|named| Words::Deploy { named, how })
        }
        Command::Promote(args) => {
            let how = how(args.dry_run, args.plan.as_deref());
            args.set.set.as_deref().map(|named| Words::Promote { named, how })
        }
        Command::Recover(args) if args.set => Some(Words::Recover { forget: args.r#override }),
        Command::Status(args) => args.set.set.as_deref().map(|named| Words::Status { named }),
        _ => None,
    }
}

/// Runs it.
pub(crate) async fn command(
    opener: &Opener,
    args: &ReleaseArgs,
    words: Words<'_>,
) -> Result<ExitCode, ReleaseError> {
    let named = match words {
        Words::Deploy { named, .. } | Words::Promote { named, .. } | Words::Status { named } => named,
        Words::Recover { .. } => &[],
    };
    let names = open::several(&opener.pipeline, named)?;
    let first = names.first().ok_or_else(|| ReleaseError::Bug("a set of nothing".to_owned()))?;
    let cx = opener.open(&args.env, first).await?;
    let ending = match words {
        Words::Status { .. } => {
            show(&cx, args, &names).await?;
            None
        }
        Words::Recover { forget } => {
            let (lock, mut members) = (lock(&cx).await?, Members::new());
            let ending = recovered(&cx, &lock, &mut members, forget).await;
            tokio::join!(return_all(members), deploy::give_back(&cx, lock));
            let ending = ending?;
            if ending.is_none() {
                cx.tell.line("no set is unfinished");
            }
            ending
        }
        Words::Deploy { how, .. } | Words::Promote { how, .. } => {
            let before = match (words, &cx.env.promoted_from) {
                (Words::Promote { .. }, _) => Some(open::promoted_from(&cx)?),
                (_, before) => before.as_deref(),
            };
            let before = match before {
                Some(before) => Some(opener.open(before, first).await?),
                None => None,
            };
            let How::Do { shown } = how else {
                planned(&cx, args, &names, before.as_ref()).await?;
                return Ok(ExitCode::Passed);
            };
            let (lock, mut members) = (lock(&cx).await?, Members::new());
            let ending = release(&cx, &lock, &mut members, (&names, before.as_ref(), shown)).await;
            tokio::join!(return_all(members), deploy::give_back(&cx, lock));
            Some(ending?)
        }
    };
    let Some(ending) = ending else { return Ok(ExitCode::Passed) };
    if args.json {
        cx.tell.json(&ending);
    }
    report::write(&cx, ending.exit_code, ending.duration_ms, ending.records());
    Ok(ExitCode::of(ending.exit_code))
}

/// The run of a set that is not over and has this release in it.
pub(crate) async fn under_way(cx: &Cx) -> Result<Option<String>, ReleaseError> {
    let journal = record::open(&cx.cluster, &cx.namespace).await?;
    let record = journal.record().filter(|record| record.turn != Turn::Ended);
    let has = |record: &SetRecord| record.order.members().any(|name| name.as_str() == cx.release);
    Ok(record.filter(|record| has(record)).map(|record| record.run.id.clone()))
}

/// Takes the lock of sets.
async fn lock(cx: &Cx) -> Result<Held, ReleaseError> {
    deploy::take(cx, &Place::named(&cx.cluster, &cx.namespace, record::NAME)).await
}

/// Takes the locks of all members. A set waits while it holds some of them; that two sets wait for each other is ruled out by the lock
/// of sets, and a release alone holds no other lock.
async fn take_all(
    cx: &Cx,
    names: impl Iterator<Item = &ServiceName>,
    members: &mut Members,
) -> Result<(), ReleaseError> {
    let all = names.map(|name| async move {
        let cx = cx.beside(name)?;
        let held = deploy::lock(&cx).await.map_err(|error| error.of(name))?;
        Ok::<_, ReleaseError>((name.clone(), Member { cx, held }))
    });
    let mut failed = None;
    for member in join_all(all).await {
        match member {
            Ok((name, member)) => drop(members.insert(name, member)),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Gives all locks back, together: a run that is stopped has little time.
async fn return_all(members: Members) {
    join_all(
        members.into_values().map(|Member { cx, held }| async move { deploy::give_back(&cx, held).await }),
    )
    .await;
}

/// Finishes a set that was left, if one was.
async fn recovered(
    cx: &Cx,
    lock: &Held,
    members: &mut Members,
    forget: bool,
) -> Result<Option<SetEnding>, ReleaseError> {
    let mut journal = record::open(&cx.cluster, &cx.namespace).await?;
    let Some(mut record) = journal.record().filter(|record| record.turn != Turn::Ended).cloned() else {
        return Ok(None);
    };
    if forget {
        let before = record.reason.as_deref().unwrap_or("unfinished");
        record.reason = Some(format!("overridden by {}: {before}", cx.run.id));
        record.turn = Turn::Ended;
        record.token = lock.token();
        lock.check().await?;
        journal.write(record).await?;
        cx.tell.line("the set is forgotten; each of its services has a journal of its own");
        return Ok(None);
    }
    cx.tell.line(&format!(
        "the run {} left a set of {} services unfinished",
        record.run.id,
        record.order.members().count()
    ));
    take_all(cx, record.order.members(), members).await?;
    carried(cx, lock, members, journal, record, None).await.map(Some)
}

async fn release(
    cx: &Cx,
    lock: &Held,
    members: &mut Members,
    (names, before, shown): (&[ServiceName], Option<&Cx>, Option<&str>),
) -> Result<SetEnding, ReleaseError> {
    if let Some(ending) = recovered(cx, lock, members, false).await? {
        if !matches!(ExitCode::of(ending.exit_code), ExitCode::Passed | ExitCode::RolledBack) {
            return Ok(ending);
        }
        return_all(std::mem::take(members)).await;
    }
    take_all(cx, names.iter(), members).await?;
    forward(cx, lock, members, (names, before, shown)).await
}

async fn forward(
    cx: &Cx,
    lock: &Held,
    members: &Members,
    (names, before, shown): (&[ServiceName], Option<&Cx>, Option<&str>),
) -> Result<SetEnding, ReleaseError> {
    let mut earlier = BTreeMap::new();
    // All of them end before anything is said of one.
    for (name, run) in members.keys().zip(join_all(members.values().map(settled)).await) {
        earlier.extend(run.map_err(|error| error.of(name))?.map(|run| (name.clone(), run)));
    }
    let cxs = members.iter().map(|(name, member)| (name.clone(), &member.cx)).collect();
    let (plan, mut charts) = tokio::select! {
        plan = all_plans(cx, names, cxs, before) => plan.map_err(ReleaseError::before_it_began)?,
        () = cx.cancel.raised() => return Err(ReleaseError::NotBegun),
    };
    cx.tell.show(&plan.text());
    let approved = approved::approve(cx, plan, shown).await?;
    let record = SetRecord::intent(cx.run.clone(), lock.token(), approved.plan().order.clone(), earlier);
    let with_chart = |(name, plan): (ServiceName, Approved)| {
        let chart = charts.remove(&name).ok_or_else(|| ReleaseError::Bug(format!("{name} has no chart")))?;
        Ok((name, (plan, chart)))
    };
    let approved = approved.each().into_iter().map(with_chart).collect::<Result<_, ReleaseError>>()?;
    let journal = record::open(&cx.cluster, &cx.namespace).await?;
    carried(cx, lock, members, journal, record, Some(approved)).await
}

async fn carried(
    cx: &Cx,
    lock: &Held,
    members: &Members,
    journal: Journal<SetRecord>,
    record: SetRecord,
    approved: Option<BTreeMap<ServiceName, (Approved, Chart)>>,
) -> Result<SetEnding, ReleaseError> {
    let (endings, foreign) = (BTreeMap::new(), BTreeMap::new());
    SetDrive { cx, lock, members, journal, approved, endings, foreign }.from(record).await
}

/// Finishes what was left of a member alone. Gives the run of its last attempt.
async fn settled(Member { cx, held }: &Member) -> Result<Option<String>, ReleaseError> {
    let mut journal = cx.journal().await?;
    recover::settle(cx, held, &mut journal).await?;
    match journal.record() {
        Some(record) if record.phase == Phase::NeedsHuman => {
            Err(ReleaseError::NeedsHuman(record.reason.clone().unwrap_or_default()))
        }
        record => Ok(record.map(|record| record.run.id.clone())),
    }
}

/// Finds the image of each member, and plans them all.
async fn all_plans(
    cx: &Cx,
    names: &[ServiceName],
    cxs: BTreeMap<ServiceName, &Cx>,
    before: Option<&Cx>,
) -> Result<(SetPlan, BTreeMap<ServiceName, Chart>), ReleaseError> {
    let order = Order::of(&cx.pipeline.services, names).map_err(ReleaseError::Bug)?;
    let images = cxs.into_iter().map(|(name, cx)| async move {
        let image = match before {
            Some(before) => {
                let image = super::promoted(cx, &before.beside(&name)?, None).await;
                Some(image.map_err(|error| error.of(&name))?)
            }
            None => cx.built().map(|digest| Image { digest, proven_before: None }),
        };
        Ok::<_, ReleaseError>((name, (cx, image)))
    });
    let members = try_join_all(images).await?.into_iter().collect();
    plan::plan(order, &members).await
}

/// Shows what a set would do. Takes no lock and touches nothing.
async fn planned(
    cx: &Cx,
    args: &ReleaseArgs,
    names: &[ServiceName],
    before: Option<&Cx>,
) -> Result<(), ReleaseError> {
    let cxs = names.iter().map(|name| Ok((name.clone(), cx.beside(name)?)));
    let cxs: BTreeMap<ServiceName, Cx> = cxs.collect::<Result<_, ReleaseError>>()?;
    let refs = cxs.iter().map(|(name, cx)| (name.clone(), cx)).collect();
    let (plan, _) = all_plans(cx, names, refs, before).await?;
    if args.json {
        cx.tell.json(&Shown { digest: plan.digest(), plan: &plan });
    } else {
        cx.tell.answer(&plan.text());
    }
    handover::leave(cx, &plan)
}

/// What is known of a set.
#[derive(Debug, serde::Serialize)]
struct SetStatus {
    /// The set that is under way, or was last.
    set: Option<SetRecord>,
    /// Each release.
    releases: Vec<status::Status>,
}

async fn show(cx: &Cx, args: &ReleaseArgs, names: &[ServiceName]) -> Result<(), ReleaseError> {
    let set = record::open(&cx.cluster, &cx.namespace).await?.record().cloned();
    let releases =
        try_join_all(names.iter().map(|name| async move { status::status(&cx.beside(name)?).await }));
    let status = SetStatus { set, releases: releases.await? };
    if args.json {
        cx.tell.json(&status);
        return Ok(());
    }
    for release in &status.releases {
        cx.tell.answer(&release.text());
    }
    if let Some(set) = status.set.filter(|set| set.turn != Turn::Ended) {
        let way = if set.turn == Turn::Forward { "forward" } else { "back" };
        cx.tell.answer(&format!(
            "set of run {}: goes {way} since {}\n  next       cargo xtask recover --env {} --set\n",
            set.run.id, set.since, cx.env_name
        ));
    }
    Ok(())
}
