//! What an event looks like in the ring buffer: from tracefs `events/*/*/format`.

use super::ring::PAGE_BYTES;
use std::collections::BTreeMap;

/// The layout of one event.
#[derive(Clone, Debug)]
pub struct Format {
    /// What its records begin with.
    pub id: u16,
    fields: BTreeMap<String, Field>,
    /// How the kernel would print it, which tells the bits of flags.
    print: String,
}

/// Where in a record a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub offset: usize,
    pub size: usize,
}

impl Format {
    /// Understands the text of a `format` file.
    pub fn parse(text: &str) -> Option<Self> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID:"))?.trim().parse().ok()?;
        let fields = text.lines().filter_map(field).collect();
        let print = text.lines().find_map(|line| line.strip_prefix("print fmt:")).unwrap_or_default().to_owned();
        Some(Self { id, fields, print })
    }

    /// Returns the field of this name.
    pub fn field(&self, name: &str) -> Option<Field> {
        self.fields.get(name).copied()
    }

    /// Returns the bit of an allocation flag, which differs from version to version; 0 if this kernel has no such flag. The
    /// table that prints it has entries `{..., "name"}` with a number 0x... or a shift << (...).
    pub fn flag(&self, name: &str) -> u64 {
        let Some(end) = self.print.find(&format!("\"{name}\"")) else { return 0 };
        let begin = self.print[..end].rfind('{').unwrap_or(0);
        let value = &self.print[begin..end];
        let number = |text: &str, radix| {
            let digits = text.trim_start_matches(|c: char| !c.is_digit(radix));
            let length = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
            u64::from_str_radix(&digits[..length], radix).ok()
        };
        let bit = match (value.rsplit_once("<<"), value.rsplit_once("0x")) {
            (Some((_, shift)), _) => number(shift, 10).and_then(|shift| 1_u64.checked_shl(shift as u32)),
            (None, Some((_, mask))) => number(mask, 16),
            (None, None) => None,
        };
        bit.unwrap_or(0)
    }
}

impl Field {
    /// Reads the field as a number.
    pub fn number(self, record: &[u8]) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.get_mut(..self.size)?.copy_from_slice(record.get(self.offset..self.offset + self.size)?);
        Some(u64::from_le_bytes(bytes))
    }

    /// Reads the text that the field points to (`__data_loc`: where it begins in the lower half, its length in the
    /// upper one).
    pub fn text(self, record: &[u8]) -> Option<&str> {
        let place = self.number(record)? as usize;
        let bytes = record.get(place & 0xffff..)?.get(..place >> 16)?;
        std::str::from_utf8(bytes).ok().map(|text| text.trim_end_matches('\0'))
    }
}

/// Reads a line "field:`type` `name`; offset:`n`; size:`n`; ...".
fn field(line: &str) -> Option<(String, Field)> {
    let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
    let name = parts.next()?.split_whitespace().next_back()?.split('[').next()?.trim_start_matches('*').to_owned();
    let mut number = |what: &str| parts.find_map(|part| part.strip_prefix(what))?.parse().ok();
    let field = Field { offset: number("offset:")?, size: number("size:")? };
    (field.offset.max(field.size) <= PAGE_BYTES).then_some((name, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KMEM_CACHE_FREE: &str = "name: kmem_cache_free\nID: 312\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:const void * ptr;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:__data_loc char[] name;\toffset:24;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"call_site=%pS ptr=%p name=%s\", (void *)REC->call_site, REC->ptr, __get_str(name)\n";

    #[test]
    fn fields_are_found_and_read() {
        let format = Format::parse(KMEM_CACHE_FREE).unwrap();
        assert_eq!(format.id, 312);
        let mut record = vec![0; 28];
        record[16..24].copy_from_slice(&0xffff_8881_0000_1000_u64.to_le_bytes());
        record[24..28].copy_from_slice(&(7_u32 << 16 | 28).to_le_bytes());
        record.extend(b"dentry\0");
        assert_eq!(format.field("ptr").unwrap().number(&record), Some(0xffff_8881_0000_1000));
        assert_eq!(format.field("name").unwrap().text(&record), Some("dentry"));
        assert_eq!(format.field("name").unwrap().text(&record[..30]), None, "a record that ends early");
        assert_eq!(format.field("bytes_alloc"), None);
    }

    #[test]
    fn bits_of_flags_are_found_in_both_forms() {
        let text = |table: &str| {
            format!("ID: 1\nprint fmt: \"gfp_flags=%s\", __print_flags(REC->gfp_flags, \"|\", {table})\n")
        };
        let masks = "{( unsigned long)((( gfp_t)(0x400u | 0x800u)) | (( gfp_t)0x400000u)), \"GFP_KERNEL_ACCOUNT\"}, \
                     {( unsigned long)(( gfp_t)0x400000u), \"__GFP_ACCOUNT\"}, {( unsigned long)(( gfp_t)0x10u), \"__GFP_RECLAIMABLE\"}";
        let format = Format::parse(&text(masks)).unwrap();
        assert_eq!((format.flag("__GFP_ACCOUNT"), format.flag("__GFP_RECLAIMABLE")), (0x40_0000, 0x10));
        assert_eq!(format.flag("__GFP_DMA"), 0);
        let shifts = "{( unsigned long)((( gfp_t)((((1UL))) << (22)))), \"__GFP_ACCOUNT\"}";
        assert_eq!(Format::parse(&text(shifts)).unwrap().flag("__GFP_ACCOUNT"), 1 << 22);
    }

    #[test]
    fn field_is_within_a_page() {
        let field =
            |offset: u64| Format::parse(&format!("ID: 1\nfield:u64 x; offset:{offset}; size:8;\n")).unwrap().field("x");
        assert_eq!(field(16), Some(Field { offset: 16, size: 8 }));
        assert_eq!(field(u64::MAX), None);
    }
}
