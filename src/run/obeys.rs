//! Who carries out the orders of a run: a guest, or this machine.

use crate::guest::protocol::{Answer, Order};
use crate::vm::machine::{Ended, Vm};

/// Whoever carries out orders, one after the other.
pub trait Obeys {
    /// Gives an order and waits for its answer; `step` hears what is being done.
    fn ask(&mut self, order: &Order, step: &mut dyn FnMut(&str)) -> Result<Answer, Ended>;

    /// The calls that the workload has told since this was asked last.
    fn called(&mut self) -> String {
        String::new()
    }
}

impl Obeys for Vm {
    fn ask(&mut self, order: &Order, step: &mut dyn FnMut(&str)) -> Result<Answer, Ended> {
        Vm::ask(self, order, |name, _| step(name))
    }

    fn called(&mut self) -> String {
        Vm::called(self)
    }
}
