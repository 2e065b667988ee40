package snapshot

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
)

// The length of a database file is a multiple of sectorSize. A snapshot is a database file,
// followed by its SHA-256.
const sectorSize = 512

// verifier passes the bytes of a snapshot on to a writer, and hashes them. The last 32 bytes that
// it has received are not hashed yet, because they may be the SHA-256 at the end of the snapshot.
type verifier struct {
	to   io.Writer
	hash hash.Hash
	size int64
	tail []byte // the last sha256.Size bytes written, which are not in hash
}

func newVerifier(to io.Writer) *verifier {
	return &verifier{to: to, hash: sha256.New()}
}

func (v *verifier) Write(p []byte) (int, error) {
	n, err := v.to.Write(p)
	v.size += int64(n)
	v.tail = append(v.tail, p[:n]...)
	if excess := len(v.tail) - sha256.Size; excess > 0 {
		v.hash.Write(v.tail[:excess])
		v.tail = v.tail[:copy(v.tail, v.tail[excess:])]
	}
	return n, err
}

// check returns an error if the bytes written are not a complete, unaltered snapshot.
func (v *verifier) check() error {
	if v.size%sectorSize != sha256.Size {
		return fmt.Errorf("snapshot of %d bytes is truncated: a whole one is a multiple of %d plus a checksum of %d",
			v.size, sectorSize, sha256.Size)
	}
	if sum := v.hash.Sum(nil); !bytes.Equal(sum, v.tail) {
		return fmt.Errorf("snapshot of %d bytes is corrupt: its SHA-256 is %x, its checksum says %x", v.size, sum, v.tail)
	}
	return nil
}
