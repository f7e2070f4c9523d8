//! Values on their way to PostgreSQL and back, in its binary form.
//!
//! Rule: a parameter goes only where its kind belongs (a whole number into BIGINT, never into TEXT), because the type of
//! `$n` is PostgreSQL's guess from the text around it; a wrong guess must show as an error with its place.

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::param::P;
use crate::row::Cell;

type Failed = Box<dyn std::error::Error + Sync + Send>;

/// Fails unless `params` are what the statement takes.
pub(super) fn check(params: &[P<'_>], types: &[Type]) -> Result<()> {
    if types.len() != params.len() {
        let (wanted, given) = (types.len(), params.len());
        return Err(Error::broken(format!("the statement has {wanted} parameters, {given} were given")));
    }
    match params.iter().zip(types).position(|(param, wanted)| !fits(param, wanted)) {
        None => Ok(()),
        Some(at) => {
            let (wanted, given) = (&types[at], &params[at]);
            Err(Error::broken(format!(
                "parameter ${} is {given:?} but PostgreSQL takes it for {wanted}; CAST it",
                at + 1
            )))
        }
    }
}

fn fits(param: &P<'_>, wanted: &Type) -> bool {
    match param {
        P::Null => true,
        P::Int(value) => *wanted == Type::INT8 || (*wanted == Type::INT4 && i32::try_from(*value).is_ok()),
        P::Real(_) => *wanted == Type::FLOAT8,
        P::Text(_) => [Type::TEXT, Type::VARCHAR, Type::NAME].contains(wanted),
        P::Bytes(_) => *wanted == Type::BYTEA,
        P::Uuid(_) => *wanted == Type::UUID,
    }
}

impl ToSql for P<'_> {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) if *wanted == Type::INT4 => i32::try_from(*value)?.to_sql(wanted, out),
            Self::Int(value) => value.to_sql(wanted, out),
            Self::Real(value) => value.to_sql(wanted, out),
            Self::Text(text) => text.as_ref().to_sql(wanted, out),
            Self::Bytes(bytes) => bytes.as_ref().to_sql(wanted, out),
            Self::Uuid(id) => {
                out.extend_from_slice(id.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        // Which kind goes where depends on the value; `check` looks at each.
        true
    }

    to_sql_checked!();
}

impl<'r> FromSql<'r> for Cell<'r> {
    fn from_sql(kind: &Type, raw: &'r [u8]) -> Result<Self, Failed> {
        Ok(match *kind {
            Type::INT8 => Self::Int(i64::from_sql(kind, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(kind, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(kind, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(kind, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(kind, raw)?),
            Type::FLOAT4 => Self::Real(f32::from_sql(kind, raw)?.into()),
            Type::BYTEA => Self::Bytes(raw),
            Type::UUID => Self::Uuid(Uuid::from_slice(raw)?),
            _ => Self::Text(std::str::from_utf8(raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failed> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        let known =
            [Type::INT8, Type::INT4, Type::INT2, Type::BOOL, Type::FLOAT8, Type::FLOAT4, Type::BYTEA, Type::UUID];
        let texts = [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN];
        known.contains(kind) || texts.contains(kind)
    }
}

/// One value of a row.
pub(crate) fn cell(row: &tokio_postgres::Row, at: usize) -> Result<Cell<'_>> {
    row.try_get(at).map_err(|cause| {
        let kind = row.columns().get(at).map_or_else(|| "missing".to_owned(), |column| column.type_().to_string());
        Error::broken_by(format!("column {} has the type {kind}, which is not read; CAST it", at + 1), cause)
    })
}
