//! What deriving a key from a passphrase costs, and the derivation.

mod calibration;

use std::{fmt, time::Duration};

use argon2::{Algorithm, AssociatedData, Block, ParamsBuilder, Version};
use zeroize::Zeroize;

use crate::{
    error::{Error, KdfCost, KdfLimit, Result},
    secret::{Key, leaving_no_trace},
};

/// The cost of Argon2id (RFC 9106): memory, passes over it, and lanes.
///
/// The default is RFC 9106's second recommended choice: 64 MiB, 3 passes, 4 lanes, some 0.1 s on a current desktop
/// (the lanes are computed one after the other). What is accepted lies between [`KdfParams::MIN`], the least that
/// OWASP's password storage cheat sheet recommends, and 1 GiB of memory, 16 passes and 2 GiB passes in all, so that
/// a hostile file cannot make opening it arbitrarily slow.
///
/// ```
/// use tokenkeep::{Error, KdfParams};
///
/// let costly = KdfParams::new(256 * 1024, 3, 4)?; // 256 MiB
/// assert_eq!(costly.memory_kib(), 262_144);
/// assert!(matches!(KdfParams::new(1024, 1, 1), Err(Error::KdfLimit(_))));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    m_kib: u32,
    t: u32,
    p: u32,
}

const MIN_M_KIB: u32 = 7_168;
const MAX_M_KIB: u32 = 1024 * 1024;
const MAX_T: u32 = 16;
const MAX_P: u32 = 16;
/// KiB · passes: what OWASP's choices amount to, at least.
const MIN_M_T: u64 = 35_840;
const MAX_M_T: u64 = 2 * 1024 * 1024;

// RFC 9106 wants 8 KiB a lane; the bounds above imply it.
const _: () = assert!(MIN_M_KIB >= 8 * MAX_P);

impl KdfParams {
    /// The least that is accepted: 7 MiB, 5 passes, 1 lane. For tests, and for machines that are short of memory.
    pub const MIN: Self = Self { m_kib: MIN_M_KIB, t: 5, p: 1 };

    /// Memory in KiB, passes over it, and lanes.
    ///
    /// # Errors
    ///
    /// [`Error::KdfLimit`] if one of them, or memory times passes, is outside what every store accepts.
    pub fn new(m_kib: u32, t: u32, p: u32) -> Result<Self> {
        Self::within_limits(m_kib, t, p).map_err(Error::KdfLimit)
    }

    pub(crate) fn within_limits(m_kib: u32, t: u32, p: u32) -> Result<Self, KdfLimit> {
        // Held by `the_bounds_themselves_are_accepted_and_the_next_value_is_not`.
        within(KdfCost::MemoryKib, m_kib.into(), MIN_M_KIB.into(), MAX_M_KIB.into())?;
        // Held by `the_bounds_themselves_are_accepted_and_the_next_value_is_not`.
        within(KdfCost::Passes, t.into(), 1, MAX_T.into())?;
        // Held by `the_bounds_themselves_are_accepted_and_the_next_value_is_not`.
        within(KdfCost::Lanes, p.into(), 1, MAX_P.into())?;
        let params = Self { m_kib, t, p };
        // Held by `the_bounds_themselves_are_accepted_and_the_next_value_is_not`.
        within(KdfCost::MemoryKibTimesPasses, params.memory_passes(), MIN_M_T, MAX_M_T)?;
        Ok(params)
    }

    /// A good target for [`calibrate`](Self::calibrate): long enough to make guessing costly, short enough for somebody
    /// who has just typed a passphrase.
    pub const DEFAULT_TARGET: Duration = Duration::from_millis(750);

    /// The cost that takes about as long as the target on this machine: more memory than the default first, up to 256
    /// MiB, then more passes. With [`DEFAULT_TARGET`](Self::DEFAULT_TARGET) that is 0.5 to 1 s, unless one of these is
    /// in the way: it is never less than the default, however slow the machine; never more than half of the memory that
    /// the machine has or, on Linux, its control group may take; never more than every store accepts. macOS and Windows
    /// are taken to have 512 MiB, which they need themselves; where nothing tells how much there is, the memory stays
    /// at the default.
    ///
    /// Blocks for some three times the target, or for two derivations at the default cost if that is longer, and takes
    /// that memory: call it once, when the passphrase is set. A build without optimisation measures nothing of use.
    /// Another machine that opens the store takes its own time for the same cost, and needs the memory.
    ///
    /// # Errors
    ///
    /// [`KdfMemory`](Error::KdfMemory) if half of the machine's memory is less than the default, or could not be had. A
    /// cost that fits such a machine is for the application to choose, with [`new`](Self::new).
    ///
    /// ```no_run
    /// use tokenkeep::{KdfParams, Passphrase, Unlock};
    ///
    /// let calibrated = KdfParams::calibrate(KdfParams::DEFAULT_TARGET)?;
    /// let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(calibrated));
    /// # Ok::<(), tokenkeep::Error>(())
    /// ```
    pub fn calibrate(target: Duration) -> Result<Self> {
        calibration::calibrate(target, calibration::machine_kib(), calibration::measure)
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn memory_kib(self) -> u32 {
        self.m_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn passes(self) -> u32 {
        self.t
    }

    /// Lanes.
    #[must_use]
    pub const fn lanes(self) -> u32 {
        self.p
    }

    /// Whether it asks for less memory, or for less memory times passes.
    pub(crate) fn is_less_than(self, other: Self) -> bool {
        self.m_kib < other.m_kib || self.memory_passes() < other.memory_passes()
    }

    fn memory_passes(self) -> u64 {
        u64::from(self.m_kib).saturating_mul(self.t.into())
    }

    /// The key that a passphrase gives with this salt. Takes the memory and the time that the parameters say.
    pub(crate) fn derive(self, passphrase: &[u8], salt: &[u8]) -> Result<Key> {
        let mut key = Key::zeroed();
        argon2id(self, passphrase, salt, b"", b"", key.bytes_mut())?;
        Ok(key)
    }
}

impl fmt::Debug for KdfParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m_kib, t, p } = self;
        f.debug_struct("KdfParams").field("memory_kib", m_kib).field("passes", t).field("lanes", p).finish()
    }
}

impl Default for KdfParams {
    fn default() -> Self {
        Self { m_kib: 64 * 1024, t: 3, p: 4 }
    }
}

fn within(cost: KdfCost, asked: u64, least: u64, most: u64) -> Result<(), KdfLimit> {
    let limit = asked.clamp(least, most);
    if asked == limit { Ok(()) } else { Err(KdfLimit { cost, asked, limit }) }
}

/// Argon2id, version 0x13. Its memory is ours: reserved so that failing is an error and no abort, and wiped.
fn argon2id(cost: KdfParams, passphrase: &[u8], salt: &[u8], secret: &[u8], data: &[u8], out: &mut [u8]) -> Result<()> {
    #[cfg(any(test, feature = "testing"))]
    count::add();

    let refused = |_| Error::internal("the key derivation refuses its parameters");
    let mut params = ParamsBuilder::new();
    params.m_cost(cost.m_kib).t_cost(cost.t).p_cost(cost.p).output_len(out.len());
    params.data(AssociatedData::new(data).map_err(refused)?);
    let params = params.build().map_err(refused)?;

    let mut memory = Memory::reserve(params.block_count()).ok_or(Error::KdfMemory { kib: cost.m_kib })?;
    // Held by `core_file_of_a_closed_store_has_no_secrets`: `Ok(()).and_then(|()|` instead of `leaving_no_trace(||`.
    leaving_no_trace(|| {
        argon2::Argon2::new_with_secret(secret, Algorithm::Argon2id, Version::V0x13, params)
            .map_err(refused)?
            .hash_password_into_with_memory(passphrase, salt, out, &mut memory.0)
            .map_err(refused)
    })
}

struct Memory(Vec<Block>);

impl Memory {
    fn reserve(blocks: usize) -> Option<Self> {
        let mut memory = Vec::new();
        // Held by `a_passphrase_that_this_machine_cannot_derive_hides_no_other`.
        memory.try_reserve_exact(blocks).ok()?;
        memory.resize(blocks, Block::new());
        Some(Self(memory))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Held by `creating_and_opening_leave_nothing`, `wrong_secrets_leave_nothing`.
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// How many keys this thread has derived, so that a test can say that none was.
#[cfg(any(test, feature = "testing"))]
pub(crate) mod count {
    use std::cell::Cell;

    thread_local!(static DERIVATIONS: Cell<u64> = const { Cell::new(0) });

    pub(super) fn add() {
        DERIVATIONS.set(DERIVATIONS.get().saturating_add(1));
    }

    pub(crate) fn get() -> u64 {
        DERIVATIONS.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9106, 5.3.
    #[test]
    fn argon2id_gives_the_tag_of_rfc_9106() {
        let cost = KdfParams { m_kib: 32, t: 3, p: 4 };
        let mut tag = [0; 32];
        argon2id(cost, &[1; 32], &[2; 16], &[3; 8], &[4; 12], &mut tag).unwrap();
        let expected = [
            0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b, 0x53, 0xc9, 0xd0, 0x1e,
            0xf0, 0x45, 0x2d, 0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9, 0x6b, 0x01, 0xe6, 0x59,
        ];
        assert_eq!(tag, expected);
    }

    #[test]
    fn each_derivation_is_counted() {
        let before = count::get();
        KdfParams::MIN.derive(b"passphrase", &[0; 16]).unwrap();
        assert_eq!(count::get(), before + 1);
    }

    #[test]
    fn debug_of_a_cost_names_its_units() {
        let shown = format!("{:?}", KdfParams::default());
        assert_eq!(shown, "KdfParams { memory_kib: 65536, passes: 3, lanes: 4 }");
    }

    #[test]
    fn the_bounds_themselves_are_accepted_and_the_next_value_is_not() {
        for (m_kib, t, p) in [(7_168, 5, 1), (35_840, 1, 16), (1 << 20, 2, 1), (1 << 17, 16, 1)] {
            assert!(KdfParams::new(m_kib, t, p).is_ok(), "{m_kib} {t} {p}");
        }
        let refused = |m_kib, t, p| match KdfParams::new(m_kib, t, p) {
            Err(Error::KdfLimit(KdfLimit { cost, asked, limit })) => (cost, asked, limit),
            other => panic!("expected KdfLimit, got {other:?}"),
        };
        assert_eq!(refused(7_167, 6, 1), (KdfCost::MemoryKib, 7_167, 7_168));
        assert_eq!(refused((1 << 20) + 1, 1, 1), (KdfCost::MemoryKib, 1_048_577, 1_048_576));
        assert_eq!(refused(u32::MAX, 1, 1), (KdfCost::MemoryKib, 4_294_967_295, 1_048_576));
        assert_eq!(refused(35_840, 0, 1), (KdfCost::Passes, 0, 1));
        assert_eq!(refused(7_168, 17, 1), (KdfCost::Passes, 17, 16));
        assert_eq!(refused(35_840, 1, 0), (KdfCost::Lanes, 0, 1));
        assert_eq!(refused(35_840, 1, 17), (KdfCost::Lanes, 17, 16));
        assert_eq!(refused(35_839, 1, 1), (KdfCost::MemoryKibTimesPasses, 35_839, 35_840));
        assert_eq!(refused((1 << 19) + 1, 4, 1), (KdfCost::MemoryKibTimesPasses, 2_097_156, 2_097_152));
    }

    #[test]
    fn less_is_less_memory_or_less_memory_times_passes() {
        let cost = |m_kib, t, p| KdfParams::new(m_kib, t, p).unwrap();
        let base = cost(65_536, 3, 4);
        assert!(cost(65_535, 16, 4).is_less_than(base) && cost(65_536, 2, 4).is_less_than(base));
        for enough in [base, cost(65_536, 3, 1), cost(65_536, 4, 4), cost(196_608, 1, 4)] {
            assert!(!enough.is_less_than(base), "{enough:?}");
        }
    }

    #[test]
    fn constants_are_within_the_bounds() {
        for params in [KdfParams::MIN, KdfParams::default()] {
            assert_eq!(KdfParams::new(params.m_kib, params.t, params.p).unwrap(), params);
        }
    }
}
