//! The types of columns in a table map, by number.
//!
//! # Source
//! `enum_field_types` in MySQL's field_types.h.

pub(super) const TINY: u8 = 1;
pub(super) const SHORT: u8 = 2;
pub(super) const LONG: u8 = 3;
pub(super) const FLOAT: u8 = 4;
pub(super) const DOUBLE: u8 = 5;
pub(super) const NULL: u8 = 6;
pub(super) const TIMESTAMP: u8 = 7;
pub(super) const LONGLONG: u8 = 8;
pub(super) const INT24: u8 = 9;
pub(super) const DATE: u8 = 10;
pub(super) const TIME: u8 = 11;
pub(super) const DATETIME: u8 = 12;
pub(super) const YEAR: u8 = 13;
pub(super) const NEWDATE: u8 = 14;
pub(super) const VARCHAR: u8 = 15;
pub(super) const BIT: u8 = 16;
pub(super) const TIMESTAMP2: u8 = 17;
pub(super) const DATETIME2: u8 = 18;
pub(super) const TIME2: u8 = 19;
/// MariaDB's compressed columns.
pub(super) const BLOB_COMPRESSED: u8 = 140;
pub(super) const VARCHAR_COMPRESSED: u8 = 141;
pub(super) const VECTOR: u8 = 242;
pub(super) const JSON: u8 = 245;
pub(super) const NEWDECIMAL: u8 = 246;
pub(super) const ENUM: u8 = 247;
pub(super) const SET: u8 = 248;
pub(super) const BLOB: u8 = 252;
pub(super) const VAR_STRING: u8 = 253;
pub(super) const STRING: u8 = 254;
pub(super) const GEOMETRY: u8 = 255;
