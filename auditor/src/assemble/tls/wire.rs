//! A reader of the presentation language's numbers and vectors (RFC 8446, 3). Past the end there is `None`, never more.

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire<'a>(pub(super) &'a [u8]);

impl<'a> Wire<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A vector whose length is told in 1 byte.
    pub(super) fn vector8(&mut self) -> Option<Self> {
        let len = usize::from(self.u8()?);
        self.take(len).map(Self)
    }

    /// A vector whose length is told in 2 bytes.
    pub(super) fn vector16(&mut self) -> Option<Self> {
        let len = usize::from(self.u16()?);
        self.take(len).map(Self)
    }

    /// A vector whose length is told in 3 bytes.
    pub(super) fn vector24(&mut self) -> Option<Self> {
        let [high, middle, low] = self.array()?;
        let len = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
        self.take(len).map(Self)
    }

    /// The numbers of a vector of 2 bytes each. A last odd byte is left out.
    pub(super) fn u16s(self) -> impl Iterator<Item = u16> {
        self.0.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair))
    }
}

/// The extensions of a message, as long as they are well formed: type and data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extensions<'a>(pub(super) Wire<'a>);

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, Wire<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.u16()?, self.0.vector16()?))
    }
}
