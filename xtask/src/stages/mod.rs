//! The table of stages: which nodes a configuration asks for, and one `match` from a node to its stage. A reader who wants to know
//! what `pr-checks` does reads [`table`].

mod ansible;
mod build;
mod chart;
mod checks;
mod dockerfile;
mod iac;
mod sbom;
mod scan;
mod secrets;
mod terraform;
mod workflows;

use std::sync::Arc;
use xtask_core::config::{Pipeline, Service};
use xtask_core::engine::{Driver, Node};
use xtask_core::ids::{NodeId, StageId};
use xtask_core::report::StageRecord;
use xtask_core::stage::{Needs, Stage};

/// One node of the graph, with its stage.
#[derive(Debug)]
pub enum AnyStage {
    /// Lint of one service.
    Lint(checks::Lint),
    /// Tests of one service.
    Test(checks::Test),
    /// Image of one service.
    Build(build::Build),
    /// Bill of materials of one image.
    Sbom(sbom::Sbom),
    /// Scan of one image.
    Scan(scan::Scan),
    /// Secrets in the repository.
    Secrets(secrets::Secrets),
    /// Dockerfiles.
    Dockerfile(dockerfile::Dockerfile),
    /// Charts.
    Chart(chart::Chart),
    /// Terraform.
    Terraform(terraform::Terraform),
    /// Infrastructure as code.
    Iac(iac::Iac),
    /// Ansible.
    Ansible(ansible::Ansible),
    /// Workflows.
    Workflows(workflows::Workflows),
}

/// Every node that checks what the configuration asks for. What is not configured is not in the graph; what touches the world is in
/// the graph of the command that does so.
pub fn table(pipeline: &Arc<Pipeline>) -> Vec<AnyStage> {
    let mut nodes = Vec::new();
    for service in pipeline.services.values() {
        nodes.extend(StageId::ALL.into_iter().filter_map(|stage| of_service(stage, service)));
    }
    nodes.extend(StageId::ALL.into_iter().filter_map(|stage| of_repository(stage, pipeline)));
    nodes
}

fn of_service(stage: StageId, service: &Service) -> Option<AnyStage> {
    let image = service.image.as_ref();
    match stage {
        StageId::Lint => (!service.lint.is_empty()).then(|| AnyStage::Lint(checks::Lint::of(service))),
        StageId::Test => (!service.test.is_empty()).then(|| AnyStage::Test(checks::Test::of(service))),
        StageId::Build => image.map(|image| AnyStage::Build(build::Build::of(service, image))),
        StageId::Sbom => image.map(|_| AnyStage::Sbom(sbom::Sbom::of(service))),
        StageId::Scan => image.map(|_| AnyStage::Scan(scan::Scan::of(service))),
        StageId::Secrets
        | StageId::Dockerfile
        | StageId::Chart
        | StageId::Terraform
        | StageId::Iac
        | StageId::Ansible
        | StageId::Workflows
        | StageId::Push => None,
    }
}

fn of_repository(stage: StageId, pipeline: &Arc<Pipeline>) -> Option<AnyStage> {
    match stage {
        StageId::Lint | StageId::Test | StageId::Build | StageId::Sbom | StageId::Scan | StageId::Push => {
            None
        }
        StageId::Secrets => Some(AnyStage::Secrets(secrets::Secrets)),
        StageId::Dockerfile => dockerfile::Dockerfile::of(pipeline).map(AnyStage::Dockerfile),
        StageId::Chart => chart::Chart::of(pipeline).map(AnyStage::Chart),
        StageId::Terraform => {
            pipeline.terraform.clone().map(|config| AnyStage::Terraform(terraform::Terraform(config)))
        }
        StageId::Iac => iac::Iac::of(pipeline).map(AnyStage::Iac),
        StageId::Ansible => {
            pipeline.ansible.clone().map(|config| AnyStage::Ansible(ansible::Ansible(config)))
        }
        StageId::Workflows => {
            pipeline.workflows.clone().map(|config| AnyStage::Workflows(workflows::Workflows(config)))
        }
    }
}

/// Calls the same method of whichever stage it is.
macro_rules! each {
    ($any:expr, $stage:ident => $call:expr) => {
        match $any {
            AnyStage::Lint($stage) => $call,
            AnyStage::Test($stage) => $call,
            AnyStage::Build($stage) => $call,
            AnyStage::Sbom($stage) => $call,
            AnyStage::Scan($stage) => $call,
            AnyStage::Secrets($stage) => $call,
            AnyStage::Dockerfile($stage) => $call,
            AnyStage::Chart($stage) => $call,
            AnyStage::Terraform($stage) => $call,
            AnyStage::Iac($stage) => $call,
            AnyStage::Ansible($stage) => $call,
            AnyStage::Workflows($stage) => $call,
        }
    };
}

impl AnyStage {
    /// The service that the node is for.
    fn service(&self) -> Option<&Service> {
        match self {
            AnyStage::Lint(checks::Lint(service)) | AnyStage::Test(checks::Test(service)) => Some(service),
            AnyStage::Build(build::Build { service, .. }) => Some(service),
            AnyStage::Sbom(sbom::Sbom(service)) | AnyStage::Scan(scan::Scan(service)) => Some(service),
            AnyStage::Secrets(_)
            | AnyStage::Dockerfile(_)
            | AnyStage::Chart(_)
            | AnyStage::Terraform(_)
            | AnyStage::Iac(_)
            | AnyStage::Ansible(_)
            | AnyStage::Workflows(_) => None,
        }
    }
}

fn stage_id<S: Stage>(_: &S) -> StageId {
    S::ID
}

impl Node for AnyStage {
    fn id(&self) -> NodeId {
        let stage = each!(self, stage => stage_id(stage));
        NodeId { stage, service: self.service().map(|service| service.name.clone()) }
    }

    fn needs(&self) -> Needs {
        each!(self, stage => stage.needs())
    }

    async fn drive(&self, driver: Driver) -> StageRecord {
        each!(self, stage => driver.pure(stage).await)
    }
}
