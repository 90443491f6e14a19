//! Nobody is told, and nothing is done for it.

use std::time::Duration;

use zk_session::wire::OpCode;

use crate::slots::Failure;
use crate::states::Transition;

pub(super) struct Part;

#[allow(dead_code, reason = "either of the two that it stands for may be there")]
impl Part {
    #[inline(always)]
    pub(super) const fn new(_: &str) -> Self {
        Self
    }

    #[inline(always)]
    pub(super) const fn asked(&self, _: u32, _: OpCode, _: &impl Fn() -> String) {}

    #[inline(always)]
    pub(super) const fn answered(&self, _: u32, _: Option<Failure>) {}

    #[inline(always)]
    pub(super) const fn batch(&self) {}

    #[inline(always)]
    pub(super) const fn dropped(&self, _: u32) {}

    #[inline(always)]
    pub(super) const fn refused(&self, _: OpCode, _: Failure) {}

    #[inline(always)]
    pub(super) const fn all_failed(&self, _: Failure) {}

    #[inline(always)]
    pub(super) const fn changed(&self, _: &Transition) {}

    #[inline(always)]
    pub(super) const fn ponged(&self, _: Duration) {}

    #[inline(always)]
    pub(super) fn woken(&self, _: impl FnOnce() -> (usize, zk_session::Duration)) {}

    #[inline(always)]
    pub(super) const fn ended(&self) {}

    #[inline(always)]
    pub(super) const fn shrink(&self) {}
}
