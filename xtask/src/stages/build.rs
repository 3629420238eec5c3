//! `build`: a service's image, by an engine where one answers and by the embedded builder where none does. Both leave the same kind
//! of OCI layout behind and say its digest; nothing is pushed.

use crate::image::{self, Built};
use xtask_core::config::{EnvName, Image, Limits, Service};
use xtask_core::engine::Cx;
use xtask_core::error::StageError;
use xtask_core::ids::{ServiceName, StageId};
use xtask_core::outcome::Verdict;
use xtask_core::stage::{Needs, Pure, Stage, Weight};

/// The image of one service.
#[derive(Debug)]
pub struct Build {
    pub(super) service: Service,
    image: Image,
}

impl Build {
    pub(super) fn of(service: &Service, image: &Image) -> Self {
        Build { service: service.clone(), image: image.clone() }
    }
}

/// Where a service's image is left, relative to the root: an OCI layout.
pub(super) fn layout(service: &ServiceName) -> String {
    format!("target/xtask/images/{service}")
}

impl Stage for Build {
    const ID: StageId = StageId::Build;
    type Kind = Pure;
    type Facts = Built;

    fn needs(&self) -> Needs {
        let mut inputs = self.service.inputs.clone();
        inputs.extend([self.image.dockerfile.clone(), format!("{}.dockerignore", self.image.dockerfile)]);
        let mut env = self.service.env.clone();
        env.push(EnvName::docker_host());
        // An image that the one builder made is no answer for a machine where the other one would build.
        let engine = format!("engine at its usual socket: {}", image::usual_socket_exists());
        Needs {
            programs: self.image.embedded.iter().map(|embedded| embedded.build.program.clone()).collect(),
            env,
            inputs,
            outputs: vec![layout(&self.service.name)],
            settings: vec![format!("{:?}", self.image), engine],
            weight: Weight { cores: 2, memory_mib: 2048 },
            ..Needs::default()
        }
    }

    async fn run(&self, cx: &Cx) -> Result<Built, StageError> {
        image::build(cx, &self.service, &self.image, &layout(&self.service.name)).await
    }

    fn judge(&self, _: &Built, _: &Limits, _: jiff::civil::Date) -> Verdict {
        Verdict::clean()
    }
}
