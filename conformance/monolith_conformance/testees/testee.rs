//! A program under test in Rust without crates: sgd and adagrad on one kind of table, JSON lines.
//!
//!     rustc -O -o testee testee.rs
//!     monolith-ref conform run --backend "testee:./testee" --encoding json
//!
//! Start your own port from here: replace `Table` by calls into it. Rust never fuses a product and a sum by itself.
use std::collections::HashMap;
use std::io::{BufRead, Write};

const CAPABILITIES: &str = "\"optimizer.sgd\",\"optimizer.adagrad\",\"initializer.zeros\",\"table.lookup\",\
    \"table.contains\",\"table.size\",\"table.assign\",\"table.assign_add\",\"table.optimize\",\"table.clear\"";

// -- the wire: look for keys in a line ---------------------------------------------------------------------------------
fn after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.find(key).map(|at| &line[at + key.len()..])
}
fn text<'a>(line: &'a str, key: &str) -> &'a str {
    after(line, key).map_or("", |rest| &rest[..rest.find('"').unwrap_or(0)])
}
fn floats(line: &str, key: &str) -> Vec<f32> {
    text(line, key).split_whitespace().filter_map(|word| u32::from_str_radix(word, 16).ok()).map(f32::from_bits).collect()
}
fn ids(line: &str) -> Vec<i64> {
    let Some(rest) = after(line, "\"ids\":[") else { return Vec::new() };
    let list = &rest[..rest.find(']').unwrap_or(0)];
    list.split(',').filter_map(|word| word.trim_matches('"').parse().ok()).collect()
}
fn seq(line: &str) -> u64 {
    let rest = after(line, "\"seq\":").unwrap_or("0");
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().unwrap_or(0)
}

// -- the table's configuration: protobuf, of which only the fields below matter ----------------------------------------
enum Value<'a> { Number(u64), Part(&'a [u8]) }
fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(first & 127) << shift;
        if first & 128 == 0 { return Some(value); }
    }
    None
}
fn fields(mut data: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut found = Vec::new();
    while let Some(key) = varint(&mut data) {
        let value = match key & 7 {
            0 => varint(&mut data).map(Value::Number),
            5 if data.len() >= 4 => {
                let bits = u32::from_le_bytes([data[0], data[1], data[2], data[3]]);
                data = &data[4..];
                Some(Value::Number(u64::from(bits)))
            }
            2 => varint(&mut data).filter(|n| *n as usize <= data.len()).map(|n| {
                let (part, rest) = data.split_at(n as usize);
                data = rest;
                Value::Part(part)
            }),
            _ => None,
        };
        match value { Some(value) => found.push((key >> 3, value)), None => break }
    }
    found
}

struct Segment { adagrad: bool, dim: usize, start: f32, decay: f32 }
#[derive(Default)]
struct Table { segments: Vec<Segment>, dim: usize, rows: HashMap<i64, (Vec<f32>, Vec<f32>)> }

impl Table {
    /// The table of a serialised configuration, or the capability that is missing.
    fn new(config: &[u8]) -> Result<Table, &'static str> {
        let mut table = Table::default();
        for (number, entry) in fields(config) {
            let (1, Value::Part(entry)) = (number, entry) else { continue };
            for (number, value) in fields(entry) {
                match (number, value) {
                    (1, Value::Part(segment)) => table.segments.push(Self::segment(segment)?),
                    (2, Value::Number(2)) => return Err("table.serving"),
                    _ => {}
                }
            }
        }
        table.dim = table.segments.iter().map(|segment| segment.dim).sum();
        Ok(table)
    }
    fn segment(data: &[u8]) -> Result<Segment, &'static str> {
        let mut segment = Segment { adagrad: false, dim: 0, start: 0.1, decay: 0.0 };
        for (number, value) in fields(data) {
            match (number, value) {
                (7, Value::Number(dim)) => segment.dim = dim as usize,
                (1, Value::Part(kind)) if fields(kind).iter().any(|field| field.0 != 1) => return Err("initializer.other"),
                (2, Value::Part(rule)) => for (kind, settings) in fields(rule) {
                    let Value::Part(settings) = settings else { return Err("optimizer.other") };
                    segment.adagrad = match kind { 1 => true, 2 => false, _ => return Err("optimizer.other") };
                    for (number, value) in fields(settings) {
                        let Value::Number(bits) = value else { continue };
                        if number == 3 { segment.start = f32::from_bits(bits as u32) }
                        if number == 5 { segment.decay = f32::from_bits(bits as u32) }
                    }
                },
                _ => {}
            }
        }
        Ok(segment)
    }
    fn obtain(&mut self, id: i64) -> &mut (Vec<f32>, Vec<f32>) {
        let (segments, dim) = (&self.segments, self.dim);
        self.rows.entry(id).or_insert_with(|| {
            (vec![0.0; dim], segments.iter().flat_map(|s| std::iter::repeat(s.start).take(s.dim)).collect())
        })
    }
    fn optimize(&mut self, id: i64, gradient: &[f32], rates: &[f32]) {
        self.obtain(id);
        let (weights, norm) = self.rows.get_mut(&id).expect("obtained above");
        let mut at = 0;
        for (segment, rate) in self.segments.iter().zip(rates) {
            for i in at..at + segment.dim {
                if segment.adagrad {
                    let g = gradient[i] + segment.decay * weights[i];
                    norm[i] += g * g;
                    weights[i] -= rate / norm[i].sqrt() * g;
                } else {
                    weights[i] -= rate * gradient[i];
                }
            }
            at += segment.dim;
        }
    }
}

// Distinct ids by first occurrence, and the gradients of each added in order.
fn summed(ids: &[i64], rows: &[&[f32]]) -> (Vec<i64>, Vec<Vec<f32>>) {
    let (mut distinct, mut sums): (Vec<i64>, Vec<Vec<f32>>) = (Vec::new(), Vec::new());
    for (id, row) in ids.iter().zip(rows) {
        match distinct.iter().position(|known| known == id) {
            Some(at) => sums[at].iter_mut().zip(*row).for_each(|(sum, g)| *sum += g),
            None => { distinct.push(*id); sums.push(row.to_vec()); }
        }
    }
    (distinct, sums)
}

fn operate(table: &mut Table, line: &str) -> String {
    let (ids, values, rates) = (ids(line), floats(line, "\"floats\":\""), floats(line, "\"rates\":\""));
    let words = |row: &[f32]| row.iter().map(|f| format!("{:08x}", f.to_bits())).collect::<Vec<_>>();
    match text(line, "\"op\":\"") {
        "lookup" => {
            let zeros = vec![0.0; table.dim];
            let rows: Vec<_> = ids.iter().flat_map(|id| words(table.rows.get(id).map_or(&zeros, |row| &row.0))).collect();
            let found = ids.iter().filter(|id| table.rows.contains_key(id)).count();
            format!("\"result\":{{\"floats\":\"{}\",\"ints\":[{found}]}}", rows.join(" "))
        }
        "contains" => {
            let flags: Vec<_> = ids.iter().map(|id| table.rows.contains_key(id).to_string()).collect();
            format!("\"result\":{{\"flags\":[{}]}}", flags.join(","))
        }
        "size" => format!("\"result\":{{\"ints\":[{}]}}", table.rows.len()),
        op @ ("assign" | "assign_add" | "optimize") => {
            let rows: Vec<&[f32]> = values.chunks(table.dim.max(1)).collect();
            let (ids, rows) = if op == "optimize" && line.contains("\"dedup\":true") {
                summed(&ids, &rows)
            } else {
                (ids, rows.iter().map(|row| row.to_vec()).collect())
            };
            for (id, row) in ids.iter().zip(&rows) {
                match op {
                    "assign" => table.obtain(*id).0.copy_from_slice(row),
                    "assign_add" => table.obtain(*id).0.iter_mut().zip(row).for_each(|(w, x)| *w += x),
                    _ => table.optimize(*id, row, &rates),
                }
            }
            "\"result\":{}".into()
        }
        "clear" => { table.rows.clear(); "\"result\":{}".into() }
        other => format!("\"unsupported\":{{\"capability\":\"table.{other}\"}}"),
    }
}

fn main() {
    let mut tables: HashMap<String, Table> = HashMap::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let name = text(&line, "\"table\":\"").to_string();
        let answer = if line.contains("\"hello\":{") {
            format!("\"hello\":{{\"protocol\":1,\"name\":\"rust-example\",\"version\":\"1\",\"language\":\"Rust\",\"capabilities\":[{CAPABILITIES}]}}")
        } else if line.contains("\"create\":{") {
            let hex = text(&line, "\"config\":\"");
            let config: Vec<u8> = (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect();
            match Table::new(&config) {
                Ok(table) => { tables.insert(name, table); "\"result\":{}".into() }
                Err(missing) => format!("\"unsupported\":{{\"capability\":\"{missing}\"}}"),
            }
        } else if line.contains("\"drop\":{") {
            tables.remove(&name);
            "\"result\":{}".into()
        } else if line.contains("\"op\":{") {
            match tables.get_mut(&name) {
                Some(table) => operate(table, &line),
                None => "\"error\":{\"kind\":\"state\",\"message\":\"no such table\"}".into(),
            }
        } else if line.contains("\"stop\":{") {
            return;
        } else {
            "\"unsupported\":{\"capability\":\"kind\"}".into()
        };
        if writeln!(out, "{{\"seq\":{},{answer}}}", seq(&line)).and_then(|()| out.flush()).is_err() { return }
    }
}
