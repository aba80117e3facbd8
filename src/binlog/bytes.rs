//! Reading from a byte slice that may end anywhere.

/// A read past the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it ends too early")]
pub struct Short;

/// A cursor over untrusted bytes: every read is checked, none panics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A little endian number of 0 to 8 bytes.
    pub(crate) fn uint(&mut self, count: usize) -> Result<u64, Short> {
        let mut number = [0; 8];
        number.get_mut(..count).ok_or(Short)?.copy_from_slice(self.take(count)?);
        Ok(u64::from_le_bytes(number))
    }

    /// A length-encoded integer of the client/server protocol.
    pub(crate) fn lenenc(&mut self) -> Result<u64, Short> {
        match self.u8()? {
            small @ 0..=250 => Ok(u64::from(small)),
            252 => Ok(u64::from(self.u16()?)),
            253 => self.uint(3),
            254 => self.u64(),
            // 251 is NULL and 255 an error marker in the protocol; neither is a length.
            _ => Err(Short),
        }
    }

    /// As many bytes as a length-encoded integer says.
    pub(crate) fn lenenc_bytes(&mut self) -> Result<&'a [u8], Short> {
        let count = usize::try_from(self.lenenc()?).map_err(|_| Short)?;
        self.take(count)
    }
}
