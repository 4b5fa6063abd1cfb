//! Whether those who are left can always come to an end: no actor waits for one that has crashed.

use std::collections::HashMap;

use stateright::Model;

use crate::machine::{Machine, State, Turn};

/// A way to a state from which the actors that have not crashed can no longer all come to an end.
pub(crate) fn find_trap(machine: &Machine) -> Option<Vec<(State, Option<Turn>)>> {
    let graph = Graph::of(machine);
    let free = graph.free(machine);
    let trap = free.iter().position(|is_free| !is_free)?;
    Some(graph.way_to(trap))
}

#[derive(Default)]
struct Graph {
    states: Vec<State>,
    /// The first state and turn that led to each state.
    origins: Vec<Option<(usize, Turn)>>,
    /// The states that lead to each state by a turn that nothing goes wrong in.
    before: Vec<Vec<usize>>,
}

impl Graph {
    fn of(machine: &Machine) -> Self {
        let (mut graph, mut indices) = (Self::default(), HashMap::new());
        for state in machine.init_states() {
            graph.add(&mut indices, state, None);
        }
        let mut next = 0;
        while next < graph.states.len() {
            let state = graph.states[next].clone();
            let steps =
                if machine.within_boundary(&state) { machine.next_steps(&state) } else { vec![] };
            for (turn, after) in steps {
                let index = graph.add(&mut indices, after, Some((next, turn)));
                if matches!(turn, Turn::Step(_) | Turn::Deliver(_)) {
                    graph.before[index].push(next);
                }
            }
            next += 1;
        }
        graph
    }

    fn add(
        &mut self,
        indices: &mut HashMap<State, usize>,
        state: State,
        origin: Option<(usize, Turn)>,
    ) -> usize {
        *indices.entry(state).or_insert_with_key(|state| {
            self.states.push(state.clone());
            self.origins.push(origin);
            self.before.push(Vec::new());
            self.states.len() - 1
        })
    }

    /// For each state, whether all can come to an end from there.
    fn free(&self, machine: &Machine) -> Vec<bool> {
        let is_end = |state: &State| {
            state.actors.iter().all(|actor| actor.is_over()) || !machine.within_boundary(state)
        };
        let mut free: Vec<bool> = self.states.iter().map(is_end).collect();
        let mut open: Vec<usize> = (0..free.len()).filter(|index| free[*index]).collect();
        while let Some(index) = open.pop() {
            for before in &self.before[index] {
                if !free[*before] {
                    free[*before] = true;
                    open.push(*before);
                }
            }
        }
        free
    }

    fn way_to(&self, index: usize) -> Vec<(State, Option<Turn>)> {
        let (mut way, mut at, mut turn) = (Vec::new(), index, None);
        loop {
            way.push((self.states[at].clone(), turn));
            let Some((before, taken)) = self.origins[at] else { break };
            (at, turn) = (before, Some(taken));
        }
        way.reverse();
        way
    }
}
