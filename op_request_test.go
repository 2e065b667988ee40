package clientv3

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

func requireProto(t *testing.T, want, got proto.Message) {
	t.Helper()
	require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
}

func TestRangeRequestOfEveryOption(t *testing.T) {
	tests := []struct {
		name string
		opts []OpOption
		want *pb.RangeRequest
	}{
		{"none", nil, &pb.RangeRequest{}},
		{"range", []OpOption{WithRange("z")}, &pb.RangeRequest{RangeEnd: []byte("z")}},
		{"prefix", []OpOption{WithPrefix()}, &pb.RangeRequest{RangeEnd: []byte("l")}},
		{"from key", []OpOption{WithFromKey()}, &pb.RangeRequest{RangeEnd: []byte{0}}},
		{"limit", []OpOption{WithLimit(3)}, &pb.RangeRequest{Limit: 3}},
		{"rev", []OpOption{WithRev(4)}, &pb.RangeRequest{Revision: 4}},
		{"serializable", []OpOption{WithSerializable()}, &pb.RangeRequest{Serializable: true}},
		{"keys only", []OpOption{WithKeysOnly()}, &pb.RangeRequest{KeysOnly: true}},
		{"count only", []OpOption{WithCountOnly()}, &pb.RangeRequest{CountOnly: true}},
		{"min mod", []OpOption{WithMinModRev(5)}, &pb.RangeRequest{MinModRevision: 5}},
		{"max mod", []OpOption{WithMaxModRev(6)}, &pb.RangeRequest{MaxModRevision: 6}},
		{"min create", []OpOption{WithMinCreateRev(7)}, &pb.RangeRequest{MinCreateRevision: 7}},
		{"max create", []OpOption{WithMaxCreateRev(8)}, &pb.RangeRequest{MaxCreateRevision: 8}},
		{"key order", []OpOption{WithSort(SortByKey, SortAscend)}, &pb.RangeRequest{}},
		{"keys downwards", []OpOption{WithSort(SortByKey, SortDescend)},
			&pb.RangeRequest{SortOrder: pb.RangeRequest_DESCEND}},
		{"version", []OpOption{WithSort(SortByVersion, SortAscend)},
			&pb.RangeRequest{SortTarget: pb.RangeRequest_VERSION,
				SortOrder: pb.RangeRequest_ASCEND}},
		{"create", []OpOption{WithSort(SortByCreateRevision, SortDescend)},
			&pb.RangeRequest{SortTarget: pb.RangeRequest_CREATE,
				SortOrder: pb.RangeRequest_DESCEND}},
		{"mod without order", []OpOption{WithSort(SortByModRevision, SortNone)},
			&pb.RangeRequest{SortTarget: pb.RangeRequest_MOD}},
		{"value", []OpOption{WithSort(SortByValue, SortAscend)},
			&pb.RangeRequest{SortTarget: pb.RangeRequest_VALUE, SortOrder: pb.RangeRequest_ASCEND}},
		{"meant for others", []OpOption{WithLease(1), WithPrevKV(), WithIgnoreLease(),
			WithProgressNotify()}, &pb.RangeRequest{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			op := OpGet("k", tt.opts...)
			tt.want.Key = []byte("k")
			requireProto(t, tt.want, op.rangeRequest())
		})
	}
}

func TestPutRequestOfEveryOption(t *testing.T) {
	tests := []struct {
		name string
		opts []OpOption
		want *pb.PutRequest
	}{
		{"none", nil, &pb.PutRequest{}},
		{"lease", []OpOption{WithLease(-9)}, &pb.PutRequest{Lease: -9}},
		{"prev kv", []OpOption{WithPrevKV()}, &pb.PutRequest{PrevKv: true}},
		{"ignore value", []OpOption{WithIgnoreValue()}, &pb.PutRequest{IgnoreValue: true}},
		{"ignore lease", []OpOption{WithIgnoreLease()}, &pb.PutRequest{IgnoreLease: true}},
		{"meant for others", []OpOption{WithKeysOnly(), WithFragment(), WithProgressNotify()},
			&pb.PutRequest{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			op := OpPut("k", "v", tt.opts...)
			tt.want.Key, tt.want.Value = []byte("k"), []byte("v")
			requireProto(t, tt.want, op.putRequest())
		})
	}
}

func TestDeleteRequestOfEveryOption(t *testing.T) {
	tests := []struct {
		name string
		opts []OpOption
		want *pb.DeleteRangeRequest
	}{
		{"none", nil, &pb.DeleteRangeRequest{}},
		{"range", []OpOption{WithRange("z")}, &pb.DeleteRangeRequest{RangeEnd: []byte("z")}},
		{"prefix", []OpOption{WithPrefix()}, &pb.DeleteRangeRequest{RangeEnd: []byte("l")}},
		{"from key", []OpOption{WithFromKey()}, &pb.DeleteRangeRequest{RangeEnd: []byte{0}}},
		{"prev kv", []OpOption{WithPrevKV()}, &pb.DeleteRangeRequest{PrevKv: true}},
		{"meant for others", []OpOption{WithKeysOnly(), WithFragment(), WithIgnoreValue()},
			&pb.DeleteRangeRequest{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			op := OpDelete("k", tt.opts...)
			tt.want.Key = []byte("k")
			requireProto(t, tt.want, op.deleteRequest())
		})
	}
}

func TestWatchRequestOfEveryOption(t *testing.T) {
	tests := []struct {
		name string
		opts []OpOption
		want *pb.WatchCreateRequest
	}{
		{"none", nil, &pb.WatchCreateRequest{}},
		{"range", []OpOption{WithRange("z")}, &pb.WatchCreateRequest{RangeEnd: []byte("z")}},
		{"prefix", []OpOption{WithPrefix()}, &pb.WatchCreateRequest{RangeEnd: []byte("l")}},
		{"from key", []OpOption{WithFromKey()}, &pb.WatchCreateRequest{RangeEnd: []byte{0}}},
		{"rev", []OpOption{WithRev(4)}, &pb.WatchCreateRequest{StartRevision: 4}},
		{"progress", []OpOption{WithProgressNotify()},
			&pb.WatchCreateRequest{ProgressNotify: true}},
		{"prev kv", []OpOption{WithPrevKV()}, &pb.WatchCreateRequest{PrevKv: true}},
		{"fragment", []OpOption{WithFragment()}, &pb.WatchCreateRequest{Fragment: true}},
		{"no puts", []OpOption{WithFilterPut()},
			&pb.WatchCreateRequest{Filters: []pb.WatchCreateRequest_FilterType{
				pb.WatchCreateRequest_NOPUT}}},
		{"no deletes", []OpOption{WithFilterDelete()},
			&pb.WatchCreateRequest{Filters: []pb.WatchCreateRequest_FilterType{
				pb.WatchCreateRequest_NODELETE}}},
		{"client side", []OpOption{WithCreatedNotify(), WithWatchBufLog(), WithWatchBuffer(1, 1)},
			&pb.WatchCreateRequest{}},
		{"meant for others", []OpOption{WithKeysOnly(), WithIgnoreLease()},
			&pb.WatchCreateRequest{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			op := OpWatch("k", tt.opts...)
			tt.want.Key = []byte("k")
			requireProto(t, tt.want, op.watchCreateRequest())
		})
	}
}

func TestTxnRequestNested(t *testing.T) {
	inner := OpTxn(
		[]Cmp{Compare(ModRevision("c"), "<", 9)},
		[]Op{OpDelete("d", WithPrevKV())},
		nil,
	)
	outer := OpTxn(
		[]Cmp{Compare(Value("a"), "=", "1"), Compare(Version("b"), ">", 0)},
		[]Op{OpPut("a", "2", WithLease(7)), inner},
		[]Op{OpGet("a", WithLimit(1))},
	)
	want := &pb.TxnRequest{
		Compare: []*pb.Compare{
			{Key: []byte("a"), Target: pb.Compare_VALUE, Result: pb.Compare_EQUAL,
				TargetUnion: &pb.Compare_Value{Value: []byte("1")}},
			{Key: []byte("b"), Target: pb.Compare_VERSION, Result: pb.Compare_GREATER,
				TargetUnion: &pb.Compare_Version{Version: 0}},
		},
		Success: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestPut{
				RequestPut: &pb.PutRequest{Key: []byte("a"), Value: []byte("2"), Lease: 7}}},
			{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{
				Compare: []*pb.Compare{
					{Key: []byte("c"), Target: pb.Compare_MOD, Result: pb.Compare_LESS,
						TargetUnion: &pb.Compare_ModRevision{ModRevision: 9}},
				},
				Success: []*pb.RequestOp{
					{Request: &pb.RequestOp_RequestDeleteRange{
						RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("d"),
							PrevKv: true}}},
				},
			}}},
		},
		Failure: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestRange{
				RequestRange: &pb.RangeRequest{Key: []byte("a"), Limit: 1}}},
		},
	}
	got, err := outer.txn.txnRequest()
	require.NoError(t, err)
	requireProto(t, want, got)

	empty, err := OpTxn(nil, nil, nil).txn.txnRequest()
	require.NoError(t, err)
	requireProto(t, &pb.TxnRequest{}, empty)
}

func TestTxnRequestRefusesOps(t *testing.T) {
	tests := []struct {
		name string
		op   Op
		want string
	}{
		{"an empty op", *NewOp(), `etcdclient: empty op with key "" cannot run in a txn`},
		{"an unknown kind", Op{kind: 77},
			`etcdclient: op of unknown kind 77 with key "" cannot run in a txn`},
		{"a watch", OpWatch("w"), `etcdclient: watch with key "w" cannot run in a txn`},
		{"a sort target", OpGet("k", WithSort(77, SortAscend)),
			rpctypes.ErrInvalidSortOption.Error()},
		{"a sort order", OpGet("k", WithSort(SortByKey, -1)),
			rpctypes.ErrInvalidSortOption.Error()},
	}
	for _, tt := range tests {
		good := OpPut("a", "b")
		for _, op := range []Op{
			OpTxn(nil, []Op{good, tt.op}, nil),
			OpTxn(nil, nil, []Op{tt.op, good}),
			OpTxn(nil, []Op{good, OpTxn(nil, []Op{tt.op}, nil)}, nil),
		} {
			_, err := op.txn.txnRequest()
			assert.EqualError(t, err, tt.want, tt.name)
		}
	}
}

func TestCompactRequest(t *testing.T) {
	calls := 0
	op := OpCompact(5, WithCompactPhysical(), func(*CompactOp) { calls++ })
	requireProto(t, &pb.CompactionRequest{Revision: 5, Physical: true}, op.request())
	assert.Equal(t, 1, calls)
	op = OpCompact(6)
	requireProto(t, &pb.CompactionRequest{Revision: 6}, op.request())
}

func TestTopOptions(t *testing.T) {
	tests := []struct {
		name string
		opts func() []OpOption
		want SortOption
	}{
		{"first key", WithFirstKey, SortOption{SortByKey, SortNone}},
		{"last key", WithLastKey, SortOption{SortByKey, SortDescend}},
		{"first create", WithFirstCreate, SortOption{SortByCreateRevision, SortAscend}},
		{"last create", WithLastCreate, SortOption{SortByCreateRevision, SortDescend}},
		{"first rev", WithFirstRev, SortOption{SortByModRevision, SortAscend}},
		{"last rev", WithLastRev, SortOption{SortByModRevision, SortDescend}},
	}
	for _, tt := range tests {
		op := OpGet("dir/", tt.opts()...)
		assert.Equal(t, tt.want, op.sort, tt.name)
		assert.Equal(t, int64(1), op.Limit(), tt.name)
		assert.Equal(t, "dir0", string(op.RangeBytes()), tt.name)

		one, two := append(tt.opts(), WithRev(1)), append(tt.opts(), WithRev(2))
		assert.Equal(t, int64(1), OpGet("dir/", one...).Rev(), "two results share memory")
		assert.Equal(t, int64(2), OpGet("dir/", two...).Rev())
	}
}

func TestWatchBufferDefaults(t *testing.T) {
	tests := []struct {
		opts          []OpOption
		bytes, number int
	}{
		{nil, 8 << 20, 4096},
		{[]OpOption{WithWatchBuffer(0, 0)}, 8 << 20, 4096},
		{[]OpOption{WithWatchBuffer(-1, 16)}, 8 << 20, 16},
		{[]OpOption{WithWatchBuffer(1<<10, -1)}, 1 << 10, 4096},
		{[]OpOption{WithWatchBuffer(1<<10, 16)}, 1 << 10, 16},
	}
	for _, tt := range tests {
		op := OpWatch("k", tt.opts...)
		bytes, number := op.watchBuffer()
		assert.Equal(t, [2]int{tt.bytes, tt.number}, [2]int{bytes, number})
	}
}
