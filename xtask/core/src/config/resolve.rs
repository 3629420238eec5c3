//! From the file as written to the configuration as used: defaults are filled in, paths are looked up, promises are checked.

use super::defaults::{self, Commands};
use super::explain::did_you_mean;
use super::paths::{Root, below};
use super::raw;
use super::resolved::{
    Ansible, Argv, Budgets, Embedded, Environment, Freeze, Guards, Image, Limits, Pipeline, Service,
    Terraform, TerraformLimits, Timeouts, Vulnerabilities, Waiver, Workflows,
};
use super::text::{Checked, Deadline, Name, Rule, Timed, Word};
use super::trail::{Problem, Trail};
use super::value::{Command, Entries, List};
use crate::ids::ServiceName;
use crate::outcome::Severity;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DEFAULT_DEADLINE: Duration = Duration::from_secs(20 * 60);

/// Resolves the file; `today` decides whether a waiver still holds.
pub(super) fn resolve(raw: raw::Pipeline, root: &Root, today: Date) -> Result<Pipeline, Problem> {
    let top = Trail::TOP;
    let services = each(raw.services, &top.key("services"), |name, service, at| {
        resolve_service(root, name, service, at)
    })?;
    order_ends(&services, &top.key("services"))?;
    let limits = resolve_limits(raw.limits.0.unwrap_or_default(), today, &top.key("limits"))?;
    let environments = match raw.environments.0 {
        Some(environments) => resolve_environments(root, environments, &services, &top.key("environments"))?,
        None => BTreeMap::new(),
    };
    let owned = |chart: &String| services.values().any(|service| service.chart.as_ref() == Some(chart));
    let mut charts =
        all(raw.charts.0, &top.key("charts"), |chart, at| root.folder_with(at, &chart, "Chart.yaml"))?;
    charts.retain(|chart| !owned(chart));
    let terraform = raw
        .terraform
        .0
        .map(|terraform| resolve_terraform(root, terraform, &top.key("terraform")))
        .transpose()?;
    let ansible =
        raw.ansible.0.map(|ansible| resolve_ansible(root, ansible, &top.key("ansible"))).transpose()?;
    let workflows = raw
        .workflows
        .0
        .map(|workflows| resolve_workflows(root, workflows, &top.key("workflows")))
        .transpose()?;
    Ok(Pipeline {
        project: raw.project.0.to_string(),
        registry: raw.registry.0.map(checked),
        services,
        environments,
        charts,
        terraform,
        ansible,
        workflows,
        secrets: plain(raw.secrets.0),
        limits,
        root: root.path().to_owned(),
    })
}

fn resolve_service(
    root: &Root,
    name: &ServiceName,
    raw: raw::Service,
    at: &Trail<'_>,
) -> Result<Service, Problem> {
    let Word(language) = raw.language;
    let path = root.folder(&at.key("path"), &raw.path.0)?;
    let checks = raw.checks.0.unwrap_or_default();
    let lint = match checks.lint.0 {
        Some(commands) => written(commands),
        None => defaults::lint(root, &at.key("language"), language, &path)?,
    };
    let test = match checks.test.0 {
        Some(commands) => written(commands),
        None => defaults::test(root, &at.key("language"), language, &path, name)?,
    };
    let made = |path: String, at: &Trail<'_>| root.made(at, &path);
    let mut junit = all(raw.junit.0, &at.key("junit"), made)?;
    junit.extend(test.junit);
    let inputs = match raw.inputs.0 {
        Some(globs) => all(Some(globs), &at.key("inputs"), |glob, at| root.glob(at, &glob))?,
        None => defaults::inputs(language, &path),
    };
    if inputs.iter().all(|glob| glob.starts_with('!')) {
        return Err(at.key("inputs").wrong(
            "every glob leaves files out and none takes any in",
            "put the globs of what is read first",
        ));
    }
    let chart = at.key("chart");
    Ok(Service {
        name: name.clone(),
        language,
        lint: lint.argv,
        test: test.argv,
        inputs,
        outputs: all(raw.outputs.0, &at.key("outputs"), made)?,
        env: plain(raw.env.0),
        junit,
        image: raw.image.0.map(|image| resolve_image(root, &path, image, &at.key("image"))).transpose()?,
        chart: raw.chart.0.map(|Checked(path)| root.folder_with(&chart, &path, "Chart.yaml")).transpose()?,
        after: plain(raw.after.0),
        path,
    })
}

/// Every service comes after services that exist and are released, and none after itself.
fn order_ends(services: &BTreeMap<ServiceName, Service>, at: &Trail<'_>) -> Result<(), Problem> {
    for (name, service) in services {
        let here = at.key(name.as_str());
        let list = here.key("after");
        for (index, before) in service.after.iter().enumerate() {
            let here = list.index(index);
            match services.get(before) {
                None => {
                    let names: Vec<&str> = services.keys().map(|name| name.as_str()).collect();
                    let help = did_you_mean(before.as_str(), &names);
                    return Err(here.wrong(format!("there is no service `{before}`"), help));
                }
                Some(other) if other.chart.is_none() || service.chart.is_none() => {
                    let bare = if other.chart.is_none() { before } else { name };
                    let what = format!("`{bare}` has no chart, so it is never released");
                    return Err(here.wrong(what, "only services with charts have an order"));
                }
                Some(_) => {}
            }
            if let Some(way) = way(services, before, name) {
                let circle: Vec<&str> = std::iter::once(name).chain(way).map(|name| name.as_str()).collect();
                return Err(here.wrong(
                    format!("services go in a circle: {}", circle.join(" after ")),
                    "one of them must come first",
                ));
            }
        }
    }
    Ok(())
}

/// A way from one service to another over those that it comes after, both ends included.
fn way<'s>(
    services: &'s BTreeMap<ServiceName, Service>,
    from: &'s ServiceName,
    to: &ServiceName,
) -> Option<Vec<&'s ServiceName>> {
    let mut open = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while let Some(way) = open.pop() {
        let last = *way.last()?;
        if last == to {
            return Some(way);
        }
        let before = services.get(last).map(|service| service.after.as_slice()).unwrap_or_default();
        for next in before.iter().rev().filter(|next| seen.insert(next)) {
            open.push(way.iter().copied().chain([next]).collect());
        }
    }
    None
}

fn written(commands: List<Command>) -> Commands {
    Commands { argv: commands.0.into_iter().map(argv).collect(), junit: None }
}

fn argv(Command(argv): Command) -> Argv {
    argv
}

fn resolve_image(root: &Root, service: &str, raw: raw::Image, at: &Trail<'_>) -> Result<Image, Problem> {
    let dockerfile = match raw.dockerfile.0 {
        Some(Checked(path)) => root.file(&at.key("dockerfile"), &path)?,
        None if root.has(service, "Dockerfile") => below(service, "Dockerfile"),
        None => {
            let what = format!("there is no `Dockerfile` in `{service}`");
            return Err(at.wrong(what, "name it: `dockerfile: docker/app.Dockerfile`"));
        }
    };
    let context = raw.context.0.map_or_else(|| ".".to_owned(), checked);
    let embedded = at.key("embedded");
    Ok(Image {
        dockerfile,
        context: root.folder(&at.key("context"), &context)?,
        platforms: raw
            .platforms
            .0
            .map_or_else(|| vec!["linux/amd64".to_owned()], |list| list.0.into_iter().map(checked).collect()),
        embedded: raw.embedded.0.map(|raw| resolve_embedded(root, raw, &embedded)).transpose()?,
    })
}

fn resolve_embedded(root: &Root, raw: raw::Embedded, at: &Trail<'_>) -> Result<Embedded, Problem> {
    let files_at = at.key("files");
    let mut files = BTreeMap::new();
    for (Checked(source), Checked(file)) in raw.files.0 {
        let file = root.made(&files_at.key(&source), &file)?;
        files.insert(source, file);
    }
    Ok(Embedded { build: argv(raw.build), files })
}

fn resolve_environments(
    root: &Root,
    raw: Entries<Checked<Name>, raw::Environment>,
    services: &BTreeMap<ServiceName, Service>,
    at: &Trail<'_>,
) -> Result<BTreeMap<String, Environment>, Problem> {
    let environments: BTreeMap<ServiceName, Environment> = each(raw, at, |name, raw, at| {
        if let Some(Checked(values)) = &raw.values.0 {
            let charts = services.values().filter_map(|service| service.chart.as_deref());
            for chart in charts {
                root.file_in(&at.key("values"), chart, values)?;
            }
        }
        Ok(Environment {
            cluster: raw.cluster.0.map(checked),
            region: raw.region.0.map(checked),
            account: raw.account.0.map(checked),
            namespace: raw.namespace.0.map(|Checked(name)| name.to_string()),
            values: raw.values.0.map(checked),
            approval: raw.approval.0.is_some_and(|flag| flag.0),
            github_environment: raw.github_environment.0.map_or_else(|| name.to_string(), checked),
            promoted_from: raw.promoted_from.0.map(|Checked(name)| name.to_string()),
            kubeconfig: raw.kubeconfig.0.map(checked),
            context: raw.context.0.map(checked),
            cluster_uid: raw.cluster_uid.0.map(checked),
            label: raw.label.0.map_or_else(|| name.to_string(), |Checked(label)| label.to_string()),
            registry: raw.registry.0.map(checked),
            guards: resolve_guards(raw.guards.0.unwrap_or_default(), &at.key("guards"))?,
            budgets: resolve_budgets(raw.budgets.0.unwrap_or_default()),
        })
    })?;
    let environments =
        environments.into_iter().map(|(name, environment)| (name.to_string(), environment)).collect();
    promotions_end(&environments, at)?;
    Ok(environments)
}

fn resolve_guards(raw: raw::Guards, at: &Trail<'_>) -> Result<Guards, Problem> {
    let list = at.key("freeze");
    let mut freeze = Vec::new();
    for (index, raw) in raw.freeze.0.map(|list| list.0).unwrap_or_default().into_iter().enumerate() {
        let (Checked(from), Checked(to)) = (raw.from, raw.to);
        if to < from {
            return Err(list
                .index(index)
                .key("to")
                .wrong(format!("the freeze ends on {to}, before it begins on {from}"), "swap the two days"));
        }
        freeze.push(Freeze { from, to, reason: raw.reason.0 });
    }
    Ok(Guards { refs: plain(raw.refs.0.map(|list| List(list.0))), freeze })
}

fn resolve_budgets(raw: raw::Budgets) -> Budgets {
    let seconds = |given: Option<Checked<Deadline>>, default| {
        given.map_or(Duration::from_secs(default), |Checked(given)| given)
    };
    Budgets {
        lock: seconds(raw.lock.0, 120),
        apply: seconds(raw.apply.0, 300),
        watch: seconds(raw.watch.0, 600),
        soak: seconds(raw.soak.0, 30),
    }
}

/// Every promotion comes from an environment that exists, and following them back ends.
fn promotions_end(environments: &BTreeMap<String, Environment>, at: &Trail<'_>) -> Result<(), Problem> {
    for name in environments.keys() {
        let mut way = vec![name.as_str()];
        while let Some(from) =
            way.last().and_then(|name| environments.get(*name)).and_then(|e| e.promoted_from.as_deref())
        {
            let last = way[way.len() - 1];
            let environment = at.key(last);
            let here = environment.key("promoted_from");
            if !environments.contains_key(from) {
                let names: Vec<&str> = environments.keys().map(String::as_str).collect();
                return Err(
                    here.wrong(format!("there is no environment `{from}`"), did_you_mean(from, &names))
                );
            }
            let seen = way.iter().position(|name| *name == from);
            way.push(from);
            if let Some(start) = seen {
                let circle = way[start..].join(" from ");
                return Err(here.wrong(
                    format!("promotions go in a circle: {circle}"),
                    "one environment must come first",
                ));
            }
        }
    }
    Ok(())
}

fn resolve_terraform(root: &Root, raw: raw::Terraform, at: &Trail<'_>) -> Result<Terraform, Problem> {
    let path = root.folder(&at.key("path"), &raw.path.0)?;
    let stand_in = at.key("stand_in");
    Ok(Terraform {
        stand_in: raw
            .stand_in
            .0
            .map(|Checked(module)| root.folder_with(&stand_in, &module, "go.mod"))
            .transpose()?,
        var_files: all(raw.var_files.0, &at.key("var_files"), |file, at| root.file_in(at, &path, &file))?,
        path,
    })
}

fn resolve_ansible(root: &Root, raw: raw::Ansible, at: &Trail<'_>) -> Result<Ansible, Problem> {
    let path = root.folder(&at.key("path"), &raw.path.0)?;
    let inventory = at.key("inventory");
    Ok(Ansible {
        playbooks: all(Some(raw.playbooks), &at.key("playbooks"), |file, at| root.file_in(at, &path, &file))?,
        inventory: raw
            .inventory
            .0
            .map(|Checked(file)| root.either_in(&inventory, &path, &file))
            .transpose()?,
        path,
    })
}

fn resolve_workflows(root: &Root, raw: raw::Workflows, at: &Trail<'_>) -> Result<Workflows, Problem> {
    let path = root.folder(&at.key("path"), &raw.path.0)?;
    Ok(Workflows { path, generated: raw.generated.0.is_some_and(|flag| flag.0) })
}

fn resolve_limits(raw: raw::Limits, today: Date, at: &Trail<'_>) -> Result<Limits, Problem> {
    let vulnerabilities = raw.vulnerabilities.0.unwrap_or_default();
    let mut timeouts = Timeouts { default: DEFAULT_DEADLINE, stages: BTreeMap::new() };
    for (Word(timed), Checked(deadline)) in raw.timeouts.0.map(|entries| entries.0).unwrap_or_default() {
        match timed {
            Timed::Default => timeouts.default = deadline,
            Timed::Stage(stage) => {
                timeouts.stages.insert(stage, deadline);
            }
        }
    }
    let mut waivers = Vec::new();
    let list = at.key("waivers");
    for (index, waiver) in raw.waivers.0.map(|list| list.0).unwrap_or_default().into_iter().enumerate() {
        waivers.push(resolve_waiver(waiver, today, &list.index(index))?);
    }
    Ok(Limits {
        vulnerabilities: Vulnerabilities {
            reject: vulnerabilities.reject.0.map_or_else(
                || vec![Severity::High, Severity::Critical],
                |list| list.0.into_iter().map(|Word(severity)| severity).collect(),
            ),
            ignore_unfixed: vulnerabilities.ignore_unfixed.0.is_some_and(|flag| flag.0),
        },
        waivers,
        timeouts,
        terraform: TerraformLimits {
            max_destroy: raw.terraform.0.and_then(|limits| limits.max_destroy.0).map_or(0, |count| count.0),
        },
    })
}

/// A waiver that has run out is refused instead of ignored: the owner gets to hear of it, not the next person whose scan fails.
fn resolve_waiver(raw: raw::Waiver, today: Date, at: &Trail<'_>) -> Result<Waiver, Problem> {
    let (Checked(id), Checked(expires)) = (raw.id, raw.expires);
    if expires < today {
        return Err(at.key("expires").wrong(
            format!("the waiver of {id} ended on {expires}, today is {today}"),
            format!("mend the finding, or ask {} for a later day", raw.owner.0),
        ));
    }
    Ok(Waiver { id, owner: raw.owner.0, expires, reason: raw.reason.0 })
}

fn checked<R: Rule>(text: Checked<R>) -> R::Value {
    text.0
}

fn plain<R: Rule>(list: Option<List<Checked<R>>>) -> Vec<R::Value> {
    list.map(|list| list.0.into_iter().map(checked).collect()).unwrap_or_default()
}

/// Resolves each item of a list at its own place.
fn all<R: Rule, T, const MIN: usize>(
    list: Option<List<Checked<R>, MIN>>,
    at: &Trail<'_>,
    resolve: impl Fn(R::Value, &Trail<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let items = list.map(|list| list.0).unwrap_or_default();
    items.into_iter().enumerate().map(|(index, Checked(item))| resolve(item, &at.index(index))).collect()
}

/// Resolves each entry of a mapping at its own place.
fn each<V, T, const MIN: usize>(
    entries: Entries<Checked<Name>, V, MIN>,
    at: &Trail<'_>,
    resolve: impl Fn(&ServiceName, V, &Trail<'_>) -> Result<T, Problem>,
) -> Result<BTreeMap<ServiceName, T>, Problem> {
    entries
        .0
        .into_iter()
        .map(|(Checked(name), value)| {
            let resolved = resolve(&name, value, &at.key(name.as_str()))?;
            Ok((name, resolved))
        })
        .collect()
}
