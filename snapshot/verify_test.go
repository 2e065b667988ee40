package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sealed is a database of n sectors followed by its checksum.
func sealed(n int) []byte {
	db := make([]byte, n*sectorSize)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range db {
		db[i] = byte(rng.Uint32())
	}
	sum := sha256.Sum256(db)
	return append(db, sum[:]...)
}

// altered is a copy of b with the byte at i changed.
func altered(b []byte, i int) []byte {
	c := bytes.Clone(b)
	c[i] ^= 1
	return c
}

func TestVerifier(t *testing.T) {
	whole := sealed(40)
	for _, tc := range []struct {
		name string
		data []byte
		want string // part of the error, "" for none
	}{
		{"whole", whole, ""},
		{"one sector", sealed(1), ""},
		{"empty database", sealed(0), ""},
		{"nothing", nil, "truncated"},
		{"shorter than the checksum", whole[:31], "truncated"},
		{"without its last byte", whole[:len(whole)-1], "truncated"},
		{"without its checksum", whole[:len(whole)-32], "truncated"},
		{"without its last sector", append(bytes.Clone(whole[:39*sectorSize]),
			whole[40*sectorSize:]...), "corrupt"},
		{"cut at a plausible size", whole[:20*sectorSize+32], "corrupt"},
		{"with a byte more", append(bytes.Clone(whole), 0), "truncated"},
		{"first byte altered", altered(whole, 0), "corrupt"},
		{"last byte of the database altered", altered(whole, 40*sectorSize-1), "corrupt"},
		{"first byte of the checksum altered", altered(whole, 40*sectorSize), "corrupt"},
		{"last byte of the checksum altered", altered(whole, len(whole)-1), "corrupt"},
	} {
		for how, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":      func(r io.Reader) io.Reader { return r },
			"byte by byte": iotest.OneByteReader,
			"in halves":    iotest.HalfReader,
		} {
			t.Run(tc.name+" "+how, func(t *testing.T) {
				var out bytes.Buffer
				v := newVerifier(&out)
				_, err := io.CopyBuffer(struct{ io.Writer }{v},
					struct{ io.Reader }{wrap(bytes.NewReader(tc.data))}, make([]byte, 1000))
				require.NoError(t, err)
				assert.True(t, bytes.Equal(tc.data, out.Bytes()), "all that came is passed on")
				if err := v.check(); tc.want == "" {
					assert.NoError(t, err)
				} else {
					assert.ErrorContains(t, err, tc.want)
				}
			})
		}
	}
}

func TestVerifierPassesWriteErrorsOn(t *testing.T) {
	full := errors.New("disk full")
	v := newVerifier(writerFunc(func(p []byte) (int, error) { return len(p) / 2, full }))
	n, err := v.Write(make([]byte, 100))
	assert.Equal(t, 50, n)
	assert.ErrorIs(t, err, full)
	assert.EqualValues(t, 50, v.size)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func FuzzVerifier(f *testing.F) {
	f.Add([]byte("database"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		v := newVerifier(io.Discard)
		for rest := data; len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			_, err := v.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		keep := min(len(data), sha256.Size)
		assert.Equal(t, data[len(data)-keep:], append([]byte{}, v.tail...))
		sum := sha256.Sum256(data[:len(data)-keep])
		assert.Equal(t, sum[:], v.hash.Sum(nil))
	})
}
