//! Groups: members, leases, progress.
//!
//! The unit of assignment is the partition number: who owns number `n` reads partition `n` of every topic of the
//! group. All members of a group name the same topics. Who should own what follows from the sorted ids of the live
//! members ([`assign`]); who does own it is in the leases, whose epoch goes up with every change of hands, and which
//! every commit checks in its own transaction. A member gives back what is no longer its own when nothing handed out
//! of it is uncommitted; only then do others take it.
//!
//! A member is dead when its deadline has passed, or when its process is gone, which members on the same machine see
//! at once. Anybody removes the dead. Deadlines are on the clock of the boot, which nobody can set.

use crate::fault::{Fault, Outcome, corrupt};
use crate::framing::Seal;
use crate::schema::{Catalog, Place};
use crate::sys;
use crate::txn::Txn;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stillhouse_streams::{Error, ErrorKind, Progress, assign};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) group: i64,
    pub(crate) id: Arc<str>,
    /// Most partitions that a topic of the group has.
    pub(crate) width: u32,
    pub(crate) timeout_ms: i64,
}

/// A row of the members' table.
struct Entry {
    id: String,
    width: u32,
    host: String,
    pid: u32,
    started: i64,
    deadline: i64,
}

impl Entry {
    fn is_alive(&self, host: &str, now: i64) -> bool {
        let boot = |host: &str| host.split(' ').next().map(str::to_owned);
        if now > self.deadline || boot(&self.host) != boot(host) {
            return false;
        }
        // Ids of processes say nothing to who is in another name space, or has no `/proc`.
        self.host != host || self.started == 0 || sys::started(self.pid) == Some(self.started)
    }
}

fn entries(conn: &Connection, group: i64) -> Outcome<Vec<Entry>> {
    let sql = "SELECT member, width, host, pid, started, deadline FROM members WHERE grp = ?1 ORDER BY member";
    let mut query = conn.prepare_cached(sql)?;
    let rows = query.query_map([group], |row| {
        Ok(Entry {
            id: row.get(0)?,
            width: row.get(1)?,
            host: row.get(2)?,
            pid: row.get(3)?,
            started: row.get(4)?,
            deadline: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many members of a group are alive.
pub(crate) fn living(conn: &Connection, group: i64) -> Outcome<usize> {
    let (host, now) = (sys::host(), sys::monotonic_ms());
    Ok(entries(conn, group)?.iter().filter(|entry| entry.is_alive(host, now)).count())
}

/// Partition numbers, each with the epoch of the lease.
pub(crate) type Owned = BTreeMap<u32, u64>;

struct Lease {
    member: Option<String>,
    epoch: u64,
}

fn leases(conn: &Connection, group: i64) -> Outcome<BTreeMap<u32, Lease>> {
    let mut query = conn.prepare_cached("SELECT number, member, epoch FROM leases WHERE grp = ?1")?;
    let rows = query.query_map([group], |row| {
        Ok((row.get(0)?, Lease { member: row.get(1)?, epoch: row.get::<_, i64>(2)? as u64 }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How a group looks to one of its members.
pub(crate) struct Outlook {
    pub(crate) owned: Owned,
    /// There is something to take, to give back, or somebody to bury.
    pub(crate) unsettled: bool,
    /// Others hold what should be this member's.
    pub(crate) waiting: bool,
    /// Numbers that belong to others and will be given back when they are not busy any more.
    pub(crate) leaving: BTreeSet<u32>,
}

/// Looks, and changes nothing. `busy` are the numbers that cannot be given back yet.
pub(crate) fn look(conn: &Connection, me: &Member, busy: &BTreeSet<u32>, bury: bool) -> Outcome<Outlook> {
    let entries = entries(conn, me.group)?;
    let leases = leases(conn, me.group)?;
    let mine = |lease: &Lease| lease.member.as_deref() == Some(&*me.id);
    let owned: Owned = leases.iter().filter(|(_, lease)| mine(lease)).map(|(n, lease)| (*n, lease.epoch)).collect();
    let Some(rank) = entries.iter().position(|entry| *entry.id == *me.id) else {
        return Ok(Outlook { owned: Owned::new(), unsettled: true, waiting: false, leaving: BTreeSet::new() });
    };
    let width = entries.iter().map(|entry| entry.width).max().unwrap_or(0);
    let target = assign(rank, entries.len(), width);
    let free = |n: &u32| leases.get(n).is_none_or(|lease| lease.member.is_none());
    let take = target.clone().any(|n| free(&n));
    let leaving: BTreeSet<u32> = owned.keys().copied().filter(|n| !target.contains(n)).collect();
    let give = leaving.iter().any(|n| !busy.contains(n));
    let waiting = target.clone().any(|n| !owned.contains_key(&n));
    let (host, now) = (sys::host(), sys::monotonic_ms());
    let dead = bury && entries.iter().any(|entry| *entry.id != *me.id && !entry.is_alive(host, now));
    Ok(Outlook { owned, unsettled: take || give || dead, waiting, leaving })
}

/// Buries the dead, gives back what is not this member's any more, takes what is.
pub(crate) fn settle(txn: &mut Txn<'_>, me: &Member, busy: &BTreeSet<u32>) -> Outcome<Owned> {
    check_group(txn, me)?;
    let (host, now) = (sys::host(), sys::monotonic_ms());
    let mut living = Vec::new();
    for entry in entries(txn.conn, me.group)? {
        if *entry.id == *me.id || entry.is_alive(host, now) {
            living.push(entry);
        } else {
            remove(txn, me.group, &entry.id)?;
        }
    }
    if !living.iter().any(|entry| *entry.id == *me.id) {
        let entry = Entry {
            id: me.id.to_string(),
            width: me.width,
            host: host.to_owned(),
            pid: std::process::id(),
            started: sys::started(std::process::id()).unwrap_or(0),
            deadline: now.saturating_add(me.timeout_ms),
        };
        txn.conn.prepare_cached("INSERT INTO members VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
            me.group,
            entry.id,
            entry.width,
            entry.host,
            entry.pid,
            entry.started,
            entry.deadline
        ])?;
        living.push(entry);
        living.sort_by(|a, b| a.id.cmp(&b.id));
        txn.general = true;
    } else {
        beat(txn.conn, me, now)?;
    }
    let width = living.iter().map(|entry| entry.width).max().unwrap_or(0);
    let rank = living.iter().position(|entry| *entry.id == *me.id).unwrap_or(0);
    let target = assign(rank, living.len(), width);
    let leases = leases(txn.conn, me.group)?;
    let mut owned = Owned::new();
    for (number, lease) in &leases {
        if lease.member.as_deref() != Some(&*me.id) {
            continue;
        }
        if target.contains(number) || busy.contains(number) {
            owned.insert(*number, lease.epoch);
        } else {
            txn.conn
                .prepare_cached("UPDATE leases SET member = NULL WHERE grp = ?1 AND number = ?2")?
                .execute(params![me.group, number])?;
            txn.general = true;
        }
    }
    for number in target {
        let (free, epoch) = leases.get(&number).map_or((true, 0), |lease| {
            let held = lease.member.as_deref().is_some_and(|id| living.iter().any(|entry| *entry.id == *id));
            (!held, lease.epoch)
        });
        if free && !owned.contains_key(&number) {
            txn.conn
                .prepare_cached("REPLACE INTO leases(grp, number, member, epoch) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![me.group, number, &*me.id, epoch as i64 + 1])?;
            owned.insert(number, epoch + 1);
            txn.general = true;
        }
    }
    Ok(owned)
}

fn remove(txn: &mut Txn<'_>, group: i64, member: &str) -> Outcome<()> {
    txn.conn.prepare_cached("DELETE FROM members WHERE grp = ?1 AND member = ?2")?.execute(params![group, member])?;
    txn.conn
        .prepare_cached("UPDATE leases SET member = NULL WHERE grp = ?1 AND member = ?2")?
        .execute(params![group, member])?;
    txn.general = true;
    Ok(())
}

/// Gives everything back.
pub(crate) fn leave(txn: &mut Txn<'_>, me: &Member) -> Outcome<()> {
    remove(txn, me.group, &me.id)
}

/// Moves the deadline of a member that is still one.
pub(crate) fn beat(conn: &Connection, me: &Member, now: i64) -> Outcome<()> {
    conn.prepare_cached("UPDATE members SET deadline = ?3 WHERE grp = ?1 AND member = ?2")?.execute(params![
        me.group,
        &*me.id,
        now.saturating_add(me.timeout_ms)
    ])?;
    Ok(())
}

fn check_group(txn: &Txn<'_>, me: &Member) -> Outcome<()> {
    if txn.catalog.groups.get(&me.name) == Some(&me.group) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound, format!("group `{}` was deleted", me.name)).into())
}

/// Refuses who is no member any more, or does not hold the lease of a number at this epoch.
pub(crate) fn check_leases(txn: &Txn<'_>, me: &Member, owned: &Owned, numbers: &BTreeSet<u32>) -> Outcome<()> {
    let fenced = |what: String| Fault::Refused(Error::new(ErrorKind::Fenced, what));
    let member = "SELECT 1 FROM members WHERE grp = ?1 AND member = ?2";
    let found = txn.conn.prepare_cached(member)?.query_row(params![me.group, &*me.id], |_| Ok(())).optional()?;
    if found.is_none() {
        return Err(fenced(format!("this is no member of group `{}` any more", me.name)));
    }
    for number in numbers {
        let lease = "SELECT member, epoch FROM leases WHERE grp = ?1 AND number = ?2";
        let found = txn.conn.prepare_cached(lease)?.query_row(params![me.group, number], |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get::<_, i64>(1)? as u64))
        });
        let (holder, epoch) = found.optional()?.unwrap_or((None, 0));
        if holder.as_deref() != Some(&*me.id) || owned.get(number) != Some(&epoch) {
            return Err(fenced(format!("partitions {number} of group `{}` belong to another member now", me.name)));
        }
    }
    Ok(())
}

/// The id of a group, which is made if it is not there.
pub(crate) fn ensure(txn: &mut Txn<'_>, name: &str) -> Outcome<i64> {
    if let Some(id) = txn.catalog.groups.get(name) {
        return Ok(*id);
    }
    txn.conn.execute("INSERT INTO groups(name, entries, crc) VALUES (?1, 0, 0)", [name])?;
    let id = txn.conn.last_insert_rowid();
    store_entries(txn.conn, id, 0)?;
    txn.renew_catalog()?;
    Ok(id)
}

/// Removes a group with all it has.
pub(crate) fn delete(txn: &mut Txn<'_>, group: i64) -> Outcome<()> {
    for table in ["members", "leases", "progress"] {
        txn.conn.execute(&format!("DELETE FROM {table} WHERE grp = ?1"), [group])?;
    }
    txn.conn.execute("DELETE FROM groups WHERE id = ?1", [group])?;
    txn.renew_catalog()
}

fn entries_seal(group: i64, entries: i64) -> i64 {
    Seal::new("groups").number(group).number(entries).finish()
}

fn progress_seal(group: i64, partition: i64, next: i64) -> i64 {
    Seal::new("progress").number(group).number(partition).number(next).finish()
}

fn store_entries(conn: &Connection, group: i64, entries: i64) -> Outcome<()> {
    conn.prepare_cached("UPDATE groups SET entries = ?2, crc = ?3 WHERE id = ?1")?.execute(params![
        group,
        entries,
        entries_seal(group, entries)
    ])?;
    Ok(())
}

fn load_entries(conn: &Connection, group: i64) -> Outcome<i64> {
    let mut query = conn.prepare_cached("SELECT entries, crc FROM groups WHERE id = ?1")?;
    let (entries, crc): (i64, i64) = query.query_row([group], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if crc != entries_seal(group, entries) {
        return Err(corrupt(format!("group number {group}"), "its checksum is wrong").into());
    }
    Ok(entries)
}

/// Committed next offsets, by the id of the partition.
pub(crate) fn progress(conn: &Connection, group: i64) -> Outcome<BTreeMap<i64, u64>> {
    let mut query = conn.prepare_cached("SELECT partition, next, crc FROM progress WHERE grp = ?1")?;
    let mut rows = query.query([group])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (partition, next, crc): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if crc != progress_seal(group, partition, next) {
            return Err(corrupt(format!("the progress of group number {group}"), "a checksum is wrong").into());
        }
        found.insert(partition, next as u64);
    }
    if load_entries(conn, group)? != found.len() as i64 {
        return Err(corrupt(format!("the progress of group number {group}"), "an entry is missing").into());
    }
    Ok(found)
}

/// The same, by name.
pub(crate) fn named_progress(conn: &Connection, catalog: &Catalog, group: i64) -> Outcome<Progress> {
    let known = progress(conn, group)?;
    let places =
        catalog.places().filter_map(|place| Some((place.topic.name.clone(), place.number, *known.get(&place.id)?)));
    Ok(places.collect())
}

/// Moves a group in these partitions. `known` is what [`progress`] says.
pub(crate) fn set_progress(
    conn: &Connection,
    group: i64,
    known: &BTreeMap<i64, u64>,
    moves: &[(Place, u64)],
) -> Outcome<()> {
    let sql = "REPLACE INTO progress(grp, partition, next, crc) VALUES (?1, ?2, ?3, ?4)";
    let mut replace = conn.prepare_cached(sql)?;
    for (place, next) in moves {
        let next = *next as i64;
        replace.execute(params![group, place.id, next, progress_seal(group, place.id, next)])?;
    }
    let added = moves.iter().filter(|(place, _)| !known.contains_key(&place.id)).count();
    if added > 0 {
        store_entries(conn, group, (known.len() + added) as i64)?;
    }
    Ok(())
}

/// Forgets the progress of all groups in partitions that go.
pub(crate) fn forget_partitions(txn: &Txn<'_>, partitions: &[i64]) -> Outcome<()> {
    for group in txn.catalog.groups.values() {
        let known = progress(txn.conn, *group)?;
        let gone: Vec<&i64> = partitions.iter().filter(|id| known.contains_key(id)).collect();
        for id in &gone {
            txn.conn.execute("DELETE FROM progress WHERE grp = ?1 AND partition = ?2", params![group, id])?;
        }
        store_entries(txn.conn, *group, (known.len() - gone.len()) as i64)?;
    }
    Ok(())
}
