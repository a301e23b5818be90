//! A trial and the kernels it boots.

use crate::kernels::Kernels;
use crate::program::Trialled;
use libtest_mimic::Trial;
use std::sync::{Arc, OnceLock};

type Body = Box<dyn FnOnce(&Kernels) -> Trialled + Send>;

/// What is tried, and on which kernels.
pub struct Case {
    name: String,
    specs: Vec<String>,
    body: Body,
}

impl Case {
    /// A trial whose name says what broke if it fails. It boots none but these kernels.
    pub fn new(
        name: impl Into<String>,
        specs: &[&str],
        body: impl FnOnce(&Kernels) -> Trialled + Send + 'static,
    ) -> Self {
        let specs = specs.iter().map(|spec| (*spec).to_owned()).collect();
        Self { name: name.into(), specs, body: Box::new(body) }
    }

    /// The kernels it boots.
    pub fn specs(&self) -> Vec<String> {
        self.specs.clone()
    }

    /// The test that runs it once `kernels` are built, and fails if one of its own could not be.
    pub fn trial(self, kernels: Arc<OnceLock<Kernels>>) -> Trial {
        let kind = if self.specs.is_empty() { "" } else { "kernel" };
        let run = move || {
            let kernels = kernels.get().ok_or("the kernels are not built yet")?;
            for spec in &self.specs {
                kernels.image(spec)?;
            }
            (self.body)(kernels)
        };
        Trial::test(self.name, run).with_kind(kind)
    }
}
