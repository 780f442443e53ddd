//! A staffing desk with a roster of made-up workers.

use std::collections::HashMap;
use stillhouse_schemas::roster::{Roster, Worker};

/// Numbers that come again with their seed (xorshift64*).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A worker, owned.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) first: &'static str,
    pub(super) last: &'static str,
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) certifications: Vec<&'static str>,
    pub(super) city: &'static str,
    pub(super) state: &'static str,
    pub(super) place: (f32, f32),
    pub(super) pay: (u32, u32),
    pub(super) phone: String,
    pub(super) email: String,
    pub(super) status: &'static str,
}

/// First names of which none is short for another or one letter off it.
pub(super) const FIRST: &[&str] = &[
    "Alba", "Bruno", "Chidi", "Delphine", "Emeka", "Farida", "Giulia", "Hiroshi", "Ingrid", "Jasper", "Kwame",
    "Leilani", "Marisol", "Ngozi", "Octavia", "Priya", "Quentin", "Rosalind", "Søren", "Tomoko", "Umberto", "Violeta",
    "Wanjiru", "Xiomara", "Yevgenia", "Zoltan",
];
pub(super) const LAST: &[&str] = &[
    "Abernathy",
    "Bjornsson",
    "Castellano",
    "Dragomir",
    "Eriksen",
    "Fitzroy",
    "Gutiérrez",
    "Hollingsworth",
    "Ivanova",
    "Jankowski",
    "Kowalczyk",
    "Lindqvist",
    "Montenegro",
    "Nakamura",
    "Okonkwo",
    "Papadakis",
    "Quispe",
    "Rasmussen",
    "Szymanski",
    "Thibodeaux",
    "Uchida",
    "Vasquez",
    "Whitfield",
    "Xanthos",
    "Yamaguchi",
    "Zielinski",
];
pub(super) const ROLES: &[&str] =
    &["Forklift Operator", "Picker Packer", "Welder", "Line Cook", "Registered Nurse", "Electrician"];
pub(super) const CERTIFICATIONS: &[&str] = &["OSHA-10", "OSHA-30", "CPR", "ServSafe", "AWS D1.1"];
pub(super) const CITIES: &[(&str, &str, f32, f32)] = &[
    ("Chicago", "IL", 41.88, -87.63),
    ("Dallas", "TX", 32.78, -96.80),
    ("Columbus", "OH", 39.96, -83.00),
    ("Phoenix", "AZ", 33.45, -112.07),
    ("Tampa", "FL", 27.95, -82.46),
];

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) people: Vec<Person>,
    by_id: HashMap<String, usize>,
}

impl Desk {
    pub(super) fn new() -> Self {
        let mut dice = Dice::new(3);
        let mut people = Vec::new();
        for (f, first) in FIRST.iter().enumerate() {
            for (l, last) in LAST.iter().enumerate() {
                let number = f * LAST.len() + l;
                let (city, state, lat, lon) = *dice.of(CITIES);
                let status = match number % 20 {
                    17 => "inactive",
                    18 => "do_not_use",
                    19 => "on_assignment",
                    _ => "active",
                };
                let held = dice.below(CERTIFICATIONS.len() + 1);
                people.push(Person {
                    id: format!("W-{:06}", 100_000 + number),
                    first,
                    last,
                    name: format!("{first} {last}"),
                    role: dice.of::<&str>(ROLES),
                    certifications: CERTIFICATIONS[..held].to_vec(),
                    city,
                    state,
                    place: (lat, lon),
                    pay: (1_500 + 100 * u32::try_from(dice.below(10)).unwrap(), 3_000),
                    // 555-01xx is for made-up numbers.
                    phone: format!("({}) 555-01{:02}", 201 + number / 100, number % 100),
                    email: format!("worker{number}@example.com"),
                    status,
                });
            }
        }
        let by_id = people.iter().enumerate().map(|(at, person)| (person.id.clone(), at)).collect();
        Self { people, by_id }
    }

    pub(super) fn active(&self, dice: &mut Dice) -> &Person {
        loop {
            let person = dice.of(&self.people);
            if person.status == "active" {
                return person;
            }
        }
    }
}

impl Person {
    fn worker(&self) -> Worker<'_> {
        Worker {
            id: &self.id,
            name: &self.name,
            role: self.role,
            certifications: self.certifications.clone(),
            city: self.city,
            state: self.state,
            place: Some(self.place),
            // 2026-01-01 to 2026-12-31.
            available_from: Some(20_454),
            available_until: Some(20_818),
            pay: Some(self.pay),
            phone: &self.phone,
            email: &self.email,
            status: self.status,
        }
    }
}

impl Roster for Desk {
    fn version(&self) -> &str {
        "desk"
    }

    fn len(&self) -> usize {
        self.people.len()
    }

    fn worker(&self, id: &str) -> Option<Worker<'_>> {
        self.by_id.get(id).map(|at| self.people[*at].worker())
    }

    fn named(&self, name: &str, most: usize) -> Vec<Worker<'_>> {
        self.people
            .iter()
            .filter(|person| person.name.eq_ignore_ascii_case(name))
            .take(most)
            .map(Person::worker)
            .collect()
    }
}
