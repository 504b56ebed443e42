//! Follows a few values through machine code: which registers and stack slots hold them after each instruction.
//!
//! Knows what it knows for certain only: what it does not model makes a value unknown. A state is small and is copied where
//! ways part.

use super::code::{Abi, Op, Register};

/// Most stack slots kept.
const MAX_SLOTS: usize = 48;

/// What a register may be known to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Value {
    #[default]
    Unknown,
    Constant(u64),
    /// The stack pointer at the start, plus this.
    Stack(i64),
    /// The first argument, plus this.
    Argument(i64),
    /// What lay at `pointer` from the first argument, plus `offset`.
    Behind {
        pointer: i64,
        offset: i64,
    },
}

impl Value {
    fn plus(self, add: i64) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Constant(value) => Self::Constant(value.wrapping_add_signed(add)),
            Self::Stack(at) => Self::Stack(at.wrapping_add(add)),
            Self::Argument(at) => Self::Argument(at.wrapping_add(add)),
            Self::Behind { pointer, offset } => Self::Behind { pointer, offset: offset.wrapping_add(add) },
        }
    }
}

/// What is known at one point of the code.
#[derive(Clone, Debug)]
pub(super) struct State {
    registers: [Value; 32],
    /// By place relative to the stack pointer at the start.
    slots: Vec<(i64, Value)>,
    scratch: u32,
}

impl State {
    /// Nothing is known but where the stack is.
    pub(super) fn new(abi: &Abi) -> Self {
        let mut state = Self { registers: [Value::Unknown; 32], slots: Vec::new(), scratch: abi.scratch };
        state.set(abi.stack_pointer, Value::Stack(0));
        state
    }

    pub(super) fn get(&self, register: Register) -> Value {
        self.registers.get(usize::from(register)).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, register: Register, value: Value) {
        if let Some(held) = self.registers.get_mut(usize::from(register)) {
            *held = value;
        }
    }

    /// Whether any register or slot holds `value`.
    pub(super) fn holds(&self, value: Value) -> bool {
        self.registers.contains(&value) || self.slots.iter().any(|(_, held)| *held == value)
    }

    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::Move { to, from, add } => self.set(to, self.get(from).plus(add)),
            Op::Set { to, value } => self.set(to, Value::Constant(value)),
            Op::Load { to, base, offset, word } => {
                let value = if word { self.load(self.get(base).plus(offset)) } else { Value::Unknown };
                self.set(to, value);
            }
            Op::LoadByte { to, .. } => self.set(to, Value::Unknown),
            Op::Store { from, base, offset } => {
                if let Value::Stack(at) = self.get(base).plus(offset) {
                    let value = from.map_or(Value::Unknown, |from| self.get(from));
                    self.store(at, value);
                }
            }
            Op::Call { .. } => self.spoil(self.scratch),
            Op::Spoil { registers } => self.spoil(registers),
            Op::Nothing | Op::Compare { .. } | Op::Jump { .. } | Op::Branch { .. } | Op::End => {}
        }
    }

    fn load(&self, from: Value) -> Value {
        match from {
            Value::Stack(at) => {
                self.slots.iter().find(|(place, _)| *place == at).map_or(Value::Unknown, |(_, value)| *value)
            }
            Value::Argument(pointer) => Value::Behind { pointer, offset: 0 },
            _ => Value::Unknown,
        }
    }

    fn store(&mut self, at: i64, value: Value) {
        // A store of a word covers what began up to seven bytes before or after.
        self.slots.retain(|(place, _)| place.abs_diff(at) >= 8);
        if value != Value::Unknown && self.slots.len() < MAX_SLOTS {
            self.slots.push((at, value));
        }
    }

    fn spoil(&mut self, registers: u32) {
        for (number, value) in self.registers.iter_mut().enumerate() {
            if registers >> number & 1 == 1 {
                *value = Value::Unknown;
            }
        }
    }
}
