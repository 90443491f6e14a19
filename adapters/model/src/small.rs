//! Scenes, and the exploration of all that can happen in them.

use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::client::Wish;
use crate::law::{Broken, Law};
use crate::world::{Action, World};

/// Who is in a world, what they wish, and how much goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Its name in a report.
    pub name: &'static str,
    /// What each client has done before the exploration begins.
    pub before: &'static [&'static [Wish]],
    /// What each client's application wishes, in order.
    pub wishes: &'static [&'static [Wish]],
    /// Whether all clients hold the first one's ticket.
    pub shared_ticket: bool,
    /// How many faults there may be.
    pub faults: usize,
    /// How many deadlines may come.
    pub times: usize,
    /// How many actions there may be.
    pub depth: usize,
}

/// A scene as a model.
#[derive(Clone, Copy, Debug)]
pub struct Small {
    scene: Scene,
}

/// How a state was reached.
#[derive(Debug)]
struct Step {
    before: Option<Arc<Step>>,
    action: Action,
}

/// A state of a world: its history, and what follows from it.
#[derive(Clone, Debug)]
pub struct State {
    last: Option<Arc<Step>>,
    fingerprint: u64,
    enabled: Arc<[Action]>,
    broken: Option<Broken>,
}

impl State {
    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut at = self.last.as_ref();
        while let Some(step) = at {
            actions.push(step.action);
            at = step.before.as_ref();
        }
        actions.reverse();
        actions
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}

impl Small {
    /// The model of a scene.
    pub const fn new(scene: Scene) -> Self {
        Self { scene }
    }

    /// Builds the world again that a state stands for.
    fn world(&self, state: &State) -> World {
        let mut world = World::new(&self.scene);
        for action in state.actions() {
            world.apply(action).expect("what is broken is not gone on with");
        }
        world
    }

    fn broken_at_rest(&self, state: &State) -> Option<Broken> {
        if state.broken.is_some() {
            return None;
        }
        self.world(state).rest().err()
    }

    fn upholds(&self, state: &State, law: Law) -> bool {
        state.broken.as_ref().is_none_or(|broken| broken.law != law)
    }

    fn story(&self, actions: &[Action]) -> String {
        let mut story = format!("{}:", self.scene.name);
        let mut world = World::new(&self.scene);
        for action in actions {
            write!(story, "\n  {action:?}").expect("memory");
            if let Err(Broken { law, how }) = world.apply(*action) {
                write!(story, "\n  {}: {how}", law.name()).expect("memory");
                return story;
            }
        }
        if let Err(Broken { law, how }) = world.rest() {
            write!(story, "\n  and then at rest, {}: {how}", law.name()).expect("memory");
        }
        story
    }
}

impl Model for Small {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let world = World::new(&self.scene);
        let (fingerprint, enabled) = (world.fingerprint(), world.enabled().into());
        vec![State { last: None, fingerprint, enabled, broken: None }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_none() {
            actions.extend(state.enabled.iter());
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut world = self.world(state);
        let broken = world.apply(action).err();
        let last = Some(Arc::new(Step { before: state.last.clone(), action }));
        let (fingerprint, enabled) = (world.fingerprint(), world.enabled().into());
        Some(State { last, fingerprint, enabled, broken })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        const fn upholds(law: Law) -> Property<Small> {
            let condition = match law {
                Law::Expiry => |m: &Small, s: &State| m.upholds(s, Law::Expiry),
                Law::OneVoice => |m: &Small, s: &State| m.upholds(s, Law::OneVoice),
                Law::Ephemerals => |m: &Small, s: &State| m.upholds(s, Law::Ephemerals),
                Law::AnsweredOnce => |m: &Small, s: &State| m.upholds(s, Law::AnsweredOnce),
                Law::EventsFirst => |m: &Small, s: &State| m.upholds(s, Law::EventsFirst),
                Law::Zxid => |m: &Small, s: &State| m.upholds(s, Law::Zxid),
                Law::Watches => |m: &Small, s: &State| m.upholds(s, Law::Watches),
                Law::SafeUntil => |m: &Small, s: &State| m.upholds(s, Law::SafeUntil),
                // The only one that looks ahead: any law may break on the way to rest.
                Law::Rest => {
                    |m: &Small, s: &State| m.upholds(s, Law::Rest) && m.broken_at_rest(s).is_none()
                }
            };
            Property { expectation: stateright::Expectation::Always, name: law.name(), condition }
        }
        Law::ALL.into_iter().map(upholds).collect()
    }
}

/// What an exploration found.
#[derive(Debug)]
pub struct Found {
    /// States that differ.
    pub states: usize,
    /// Steps from a state to a state.
    pub steps: usize,
    /// The longest history.
    pub depth: usize,
    /// How laws were broken: a history each.
    pub broken: Vec<String>,
}

/// Explores everything that can happen in a scene.
pub fn explore(scene: Scene, threads: usize) -> Found {
    let model = Small::new(scene);
    let checker = model
        .checker()
        .threads(threads)
        .target_max_depth(scene.depth)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut discoveries: Vec<_> = checker.discoveries().into_iter().collect();
    discoveries.sort_by_key(|(name, _)| *name);
    let broken = discoveries.into_iter().map(|(_, path)| model.story(&path.into_actions()));
    Found {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        broken: broken.collect(),
    }
}
