// A constant-product pool as a Solana program: it swaps real SPL tokens by calls to the token programs.
//
// It reads its arguments where Jupiter's `route_v2` instruction has them, so that loaded under that program's address
// it is what a router's transaction calls. No data section and no library: it is linked by link.py.
//
// Accounts: 0 user (signer), 1 user's account of what comes in, 2 user's account of what goes out, 3 mint of what comes
// in, 4 mint of what goes out, 5 token program of what comes in, 6 token program of what goes out, 7 to 9 unused here
// (as in `route_v2`), then of the hop: 10 pool id (a seed), 11 pool authority, 12 the pool's account of what comes in,
// 13 the pool's account of what goes out.
// Data: 8 bytes discriminator, u64 amount in, u64 quoted amount out, u16 slippage in bps, u16 platform fee in bps, u16
// positive slippage in bps, u32 number of hops, then per hop u8 kind, u8 bump of the authority, u16 fee in bps, u16
// share in bps, u8 input, u8 output.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE static inline __attribute__((always_inline))

#define SLIPPAGE_EXCEEDED 6001
#define BAD_ACCOUNTS 6008
#define BAD_DATA 6000
#define ACCOUNTS 14
#define HEAD_BYTES 30
#define HOP_BYTES 8
#define GROWTH_BYTES 10240

typedef struct { u8 *key; u64 *lamports; u64 data_len; u8 *data; u8 *owner; u64 rent_epoch; u8 is_signer, is_writable, executable; } Info;
typedef struct { u8 *key; u8 is_writable, is_signer; } Meta;
typedef struct { u8 *program; Meta *accounts; u64 accounts_len; u8 *data; u64 data_len; } Instruction;
typedef struct { u8 *at; u64 len; } Seed;
typedef struct { Seed *seeds; u64 len; } Signer;

// The stack has 512 bytes, so everything larger lies on the heap.
typedef struct {
  Info infos[ACCOUNTS];
  Meta metas[4];
  Instruction call;
  Seed seeds[4];
  Signer signer;
  u8 data[16];
  u8 word[4];
  u8 fee[2];
  u8 bump[1];
} Scratch;

extern u64 sol_invoke_signed_c(Instruction *call, Info *infos, u64 infos_len, Signer *signers, u64 signers_len);

INLINE u64 read(const u8 *at, int bytes) {
  u64 value = 0;
  for (int i = bytes - 1; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

INLINE void write(u8 *at, u64 value) {
  for (int i = 0; i < 8; i++) at[i] = (u8)(value >> 8 * i);
}

// Return floor(a * b / c), saturated: the product has 128 bits, the quotient is found bit by bit.
INLINE u64 mul_div(u64 a, u64 b, u64 c) {
  u64 a1 = a >> 32, a0 = a & 0xffffffff, b1 = b >> 32, b0 = b & 0xffffffff;
  u64 low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (middle & 0xffffffff);
  u64 high = a1 * b1 + (middle >> 32) + (other >> 32);
  low = other << 32 | (low & 0xffffffff);
  if (high >= c) return ~0ULL;
  u64 rest = high, quotient = 0;
  for (int i = 63; i >= 0; i--) {
    u64 carry = rest >> 63;
    rest = rest << 1 | (low >> i & 1);
    quotient <<= 1;
    if (carry || rest >= c) { rest -= c; quotient |= 1; }
  }
  return quotient;
}

// Transfer with the token program's own check of the mint: accounts from, mint, to, authority.
INLINE u64 transfer(Scratch *s, int program, int from, int mint, int to, int authority, u64 units, u64 signers) {
  s->metas[0].key = s->infos[from].key; s->metas[0].is_writable = 1; s->metas[0].is_signer = 0;
  s->metas[1].key = s->infos[mint].key; s->metas[1].is_writable = 0; s->metas[1].is_signer = 0;
  s->metas[2].key = s->infos[to].key; s->metas[2].is_writable = 1; s->metas[2].is_signer = 0;
  s->metas[3].key = s->infos[authority].key; s->metas[3].is_writable = 0; s->metas[3].is_signer = 1;
  s->data[0] = 12;  // TransferChecked
  write(s->data + 1, units);
  s->data[9] = s->infos[mint].data[44];
  s->call.program = s->infos[program].key;
  s->call.accounts = s->metas;
  s->call.accounts_len = 4;
  s->call.data = s->data;
  s->call.data_len = 10;
  return sol_invoke_signed_c(&s->call, s->infos, ACCOUNTS, &s->signer, signers);
}

INLINE u64 units_of(Info *account) { return read(account->data + 64, 8); }

u64 entrypoint(u8 *input) {
  Scratch *s = (Scratch *)0x300000000;
  u64 count = *(u64 *)input;
  u8 *at = input + 8;
  if (count < ACCOUNTS) return BAD_ACCOUNTS;
  for (u64 i = 0; i < count; i++) {
    Info info;
    if (at[0] == 0xff) {
      info.is_signer = at[1];
      info.is_writable = at[2];
      info.executable = at[3];
      info.key = at + 8;
      info.owner = at + 40;
      info.lamports = (u64 *)(at + 72);
      info.data_len = *(u64 *)(at + 80);
      info.data = at + 88;
      at += 88 + info.data_len + GROWTH_BYTES;
      at = (u8 *)(((u64)at + 7) & ~7ULL);
      info.rent_epoch = *(u64 *)at;
      at += 8;
    } else {
      if (at[0] >= ACCOUNTS) return BAD_ACCOUNTS;
      info = s->infos[at[0]];
      at += 8;
    }
    if (i < ACCOUNTS) s->infos[i] = info;
  }
  u64 data_len = *(u64 *)at;
  u8 *data = at + 8;
  if (data_len != HEAD_BYTES + 4 + HOP_BYTES || read(data + HEAD_BYTES, 4) != 1) return BAD_DATA;
  if (!s->infos[0].is_signer) return BAD_ACCOUNTS;

  u8 *hop = data + HEAD_BYTES + 4;
  u64 amount = read(data + 8, 8), quoted = read(data + 16, 8), slippage_bps = read(data + 24, 2);
  u64 fee_bps = read(hop + 2, 2);
  if (slippage_bps > 10000 || fee_bps > 10000) return BAD_DATA;

  s->word[0] = 'p'; s->word[1] = 'o'; s->word[2] = 'o'; s->word[3] = 'l';
  s->fee[0] = hop[2]; s->fee[1] = hop[3];
  s->bump[0] = hop[1];
  s->seeds[0].at = s->word; s->seeds[0].len = 4;
  s->seeds[1].at = s->infos[10].key; s->seeds[1].len = 32;
  s->seeds[2].at = s->fee; s->seeds[2].len = 2;
  s->seeds[3].at = s->bump; s->seeds[3].len = 1;
  s->signer.seeds = s->seeds;
  s->signer.len = 4;

  u64 have = units_of(&s->infos[12]), want = units_of(&s->infos[13]), held = units_of(&s->infos[2]);
  u64 failed = transfer(s, 5, 1, 3, 12, 0, amount, 0);
  if (failed) return failed;
  // What arrived, not what was sent: a mint may keep a fee.
  u64 arrived = units_of(&s->infos[12]) - have;
  u64 fee = mul_div(arrived, fee_bps, 10000);
  if (mul_div(fee, 10000, fee_bps ? fee_bps : 1) < arrived && fee_bps) fee += 1;
  u64 net = arrived - fee;
  if (have + net < have || have + net == 0) return BAD_DATA;
  u64 out = mul_div(want, net, have + net);
  failed = transfer(s, 6, 13, 4, 2, 11, out, 1);
  if (failed) return failed;
  u64 given = units_of(&s->infos[2]) - held;
  // At least quoted * (1 - slippage), rounded up.
  u64 least = quoted - mul_div(quoted, slippage_bps, 10000);
  return given < least ? SLIPPAGE_EXCEEDED : 0;
}
