//! A trial and the kernels it boots.

use crate::kernels::Kernels;
use crate::program::Trialled;
use libtest_mimic::{Completion, Trial};
use std::sync::{Arc, OnceLock};

type Body = Box<dyn FnOnce(&Kernels) -> Trialled + Send>;

/// What is tried, and on which kernels.
pub struct Case {
    name: String,
    specs: Vec<String>,
    /// Why it cannot be tried here.
    ignored: Option<String>,
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
        Self { name: name.into(), specs, ignored: None, body: Box::new(body) }
    }

    /// The same, but ignored if there is a reason.
    pub fn ignored_because(self, reason: Option<String>) -> Self {
        Self { ignored: reason, ..self }
    }

    /// The kernels to be built for it.
    pub fn needs(&self) -> Vec<String> {
        if self.ignored.is_some() { Vec::new() } else { self.specs.clone() }
    }

    /// The test that runs it once `kernels` are built, and fails if one of its own could not be.
    pub fn trial(self, kernels: Arc<OnceLock<Kernels>>) -> Trial {
        let kind = if self.specs.is_empty() { "" } else { "kernel" };
        let run = move || {
            if let Some(reason) = self.ignored {
                return Ok(Completion::ignored_with(reason));
            }
            let kernels = kernels.get().ok_or("the kernels are not built yet")?;
            for spec in &self.specs {
                kernels.image(spec)?;
            }
            (self.body)(kernels).map(|()| Completion::Completed)
        };
        Trial::ignorable_test(self.name, run).with_kind(kind)
    }
}
