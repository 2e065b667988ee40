package etcdtest

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports come in blocks below the range from which systems choose ports for outgoing connections. So
// a member that is down for a while finds its ports free when it starts again.
const (
	firstPort = 12000
	lastPort  = 32000
	blockSize = 3
)

// portBlock is the right to use two ports, client and peer. The block's first port is the guard:
// the test process listens on it while it holds the block. So no other block, of this or of another
// test process, has any of these ports.
type portBlock struct {
	guard  net.Listener
	client int
	peer   int
}

// newPortBlock claims a block whose ports are free.
func newPortBlock() (*portBlock, error) {
	const tries = 200
	var last error
	for range tries {
		base := firstPort + blockSize*rand.IntN((lastPort-firstPort)/blockSize)
		b, err := claimBlock(base)
		if err == nil {
			return b, nil
		}
		last = err
	}
	return nil, fmt.Errorf("etcdtest: no free ports after %d tries: %w", tries, last)
}

func claimBlock(base int) (*portBlock, error) {
	guard, err := listen(base)
	if err != nil {
		return nil, err
	}
	b := &portBlock{guard: guard, client: base + 1, peer: base + 2}
	for _, port := range []int{b.client, b.peer} {
		l, err := listen(port)
		if err != nil {
			b.release()
			return nil, err
		}
		_ = l.Close() // the error does not matter: l only tested the port
	}
	return b, nil
}

func (b *portBlock) release() {
	_ = b.guard.Close() // the error does not matter: guard accepted no connections
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
