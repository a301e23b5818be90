//! The compiler's notes on a file of source (`.gcno`): its functions, their blocks, and the arcs between them, some of which are counted
//! (read_graph_file in gcc/gcov.cc of GCC 12).

use super::words::{FUNCTION, Header, NOTES_MAGIC, Words};

const BLOCKS: u32 = 0x0141_0000;
const ARCS: u32 = 0x0143_0000;
const LINES: u32 = 0x0145_0000;
/// On the spanning tree: its count follows from the others, so it is not counted.
const ON_TREE: u32 = 1;

/// The notes of a compilation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectNotes {
    pub header: Header,
    /// In the order of the file.
    pub functions: Vec<FunctionNotes>,
}

/// The notes on a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionNotes {
    pub ident: u32,
    pub lines_checksum: u32,
    pub flow_checksum: u32,
    pub name: String,
    /// Where it begins.
    pub source: String,
    pub line: u32,
    pub blocks: u32,
    pub arcs: Vec<Arc>,
    /// The lines of source that each block is made from.
    pub lines: Vec<BlockLines>,
}

/// Lines of one file that a block is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockLines {
    pub block: u32,
    pub source: String,
    pub lines: Vec<u32>,
}

/// A way from one block to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arc {
    pub from: u32,
    pub to: u32,
    pub is_counted: bool,
}

impl ObjectNotes {
    /// Reads a file; `None` if it is not as it is known to be.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = Words::new(bytes);
        let header = words.header(NOTES_MAGIC)?;
        // The directory in which it was compiled, and whether blocks are marked that nothing goes through.
        words.string()?;
        words.word()?;
        let mut functions: Vec<FunctionNotes> = Vec::new();
        // A word of zero ends the file.
        while words.clone().word().is_some_and(|tag| tag != 0) {
            let record = words.record()?;
            match (record.tag, functions.last_mut()) {
                (FUNCTION, _) => functions.push(FunctionNotes::read(record.content)?),
                (BLOCKS, Some(function)) => function.blocks = record.content.clone().word()?,
                (ARCS, Some(function)) => function.read_arcs(record.content)?,
                (LINES, Some(function)) => function.read_lines(record.content)?,
                _ => {}
            }
        }
        Some(Self { header, functions })
    }
}

impl FunctionNotes {
    fn read(mut words: Words) -> Option<Self> {
        let (ident, lines_checksum, flow_checksum) = (words.word()?, words.word()?, words.word()?);
        let name = words.string()?;
        // Whether the compiler made it itself.
        words.word()?;
        let (source, line) = (words.string()?, words.word()?);
        Some(Self { ident, lines_checksum, flow_checksum, name, source, line, ..Self::default() })
    }

    /// Reads the lines of one block: numbers, and before those of another file a zero and its name.
    fn read_lines(&mut self, mut words: Words) -> Option<()> {
        let block = words.word()?;
        while !words.is_empty() {
            match words.word()? {
                0 => {
                    let source = words.string()?;
                    // An empty name ends them.
                    self.lines.push(BlockLines { block, source, lines: Vec::new() });
                }
                line => self.lines.last_mut().filter(|last| last.block == block)?.lines.push(line),
            }
        }
        if self.lines.last().is_some_and(|last| last.lines.is_empty()) {
            self.lines.pop();
        }
        Some(())
    }

    /// Reads the arcs that leave one block.
    fn read_arcs(&mut self, mut words: Words) -> Option<()> {
        let from = words.word()?;
        while !words.is_empty() {
            let (to, flags) = (words.word()?, words.word()?);
            if from >= self.blocks || to >= self.blocks {
                return None;
            }
            self.arcs.push(Arc { from, to, is_counted: flags & ON_TREE == 0 });
        }
        Some(())
    }

    /// Returns how many of its arcs are counted.
    pub fn counters(&self) -> usize {
        self.arcs.iter().filter(|arc| arc.is_counted).count()
    }
}
