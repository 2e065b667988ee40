package etcdfake

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// A callerTable records which lines of the test have made watches and leases. After 100,000 of
// both, the table still has the newest ones, and has not grown beyond its limit.
func TestNotesAreBounded(t *testing.T) {
	const made = 100_000
	table := newCallerTable()
	for i := range made {
		table.noteWatch(notedWatch{ctx: context.Background(), key: string(rune(i)), from: caller()})
		table.noteLease(&openCall{from: caller()}, &pb.LeaseGrantResponse{ID: int64(i)})
	}
	assert.LessOrEqual(t, len(table.watches), 2*keptNotes)
	assert.LessOrEqual(t, len(table.leases), keptNotes)
	assert.NotNil(t, table.lease(made-1))
	assert.NotNil(t, table.watchedKeys()[string(rune(made-1))])
	table.noteLease(&openCall{req: &pb.LeaseRevokeRequest{ID: made - 1}}, &pb.LeaseRevokeResponse{})
	assert.Nil(t, table.lease(made-1))
}
