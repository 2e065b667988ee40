package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// knownFields are the fields that this package decodes itself, on its fast path. A message with any
// other field is decoded by the protobuf library, which takes longer.
var knownFields = map[protoreflect.FullName]string{
	"etcdserverpb.ResponseHeader": "1 uint64, 2 uint64, 3 int64, 4 uint64",
	"mvccpb.KeyValue":             "1 bytes, 2 int64, 3 int64, 4 int64, 5 bytes, 6 int64",
	"mvccpb.Event":                "1 enum, 2 mvccpb.KeyValue, 3 mvccpb.KeyValue",
	"etcdserverpb.RangeResponse": "1 etcdserverpb.ResponseHeader, 2 repeated mvccpb.KeyValue, " +
		"3 bool, 4 int64",
	"etcdserverpb.RangeStreamResponse": "1 etcdserverpb.RangeResponse",
	"etcdserverpb.PutResponse":         "1 etcdserverpb.ResponseHeader, 2 mvccpb.KeyValue",
	"etcdserverpb.DeleteRangeResponse": "1 etcdserverpb.ResponseHeader, 2 int64, " +
		"3 repeated mvccpb.KeyValue",
	"etcdserverpb.ResponseOp": "1 oneof etcdserverpb.RangeResponse, " +
		"2 oneof etcdserverpb.PutResponse, 3 oneof etcdserverpb.DeleteRangeResponse, " +
		"4 oneof etcdserverpb.TxnResponse",
	"etcdserverpb.TxnResponse": "1 etcdserverpb.ResponseHeader, 2 bool, " +
		"3 repeated etcdserverpb.ResponseOp",
	"etcdserverpb.WatchResponse": "1 etcdserverpb.ResponseHeader, 2 int64, 3 bool, 4 bool, " +
		"5 int64, 6 string, 7 bool, 11 repeated mvccpb.Event",
	"etcdserverpb.LeaseKeepAliveResponse": "1 etcdserverpb.ResponseHeader, 2 int64, 3 int64",
}

// TestFastPathKnowsAllFields fails if the fields of the messages in api/v3 are not those in
// knownFields.
func TestFastPathKnowsAllFields(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var check func(protoreflect.MessageDescriptor)
	check = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		var fields []string
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			fields = append(fields, describe(f))
			if f.Message() != nil {
				check(f.Message())
			}
		}
		assert.Equal(t, knownFields[d.FullName()], strings.Join(fields, ", "), d.FullName())
		assert.Zero(t, d.ExtensionRanges().Len(), d.FullName())
		assert.Equal(t, protoreflect.Proto3, d.ParentFile().Syntax(), d.FullName())
	}
	for _, m := range decoded {
		check(m.ProtoReflect().Descriptor())
	}
	assert.Len(t, seen, len(knownFields))
}

func describe(f protoreflect.FieldDescriptor) string {
	kind := f.Kind().String()
	if f.Message() != nil {
		kind = string(f.Message().FullName())
	}
	switch {
	case f.IsList():
		kind = "repeated " + kind
	case f.ContainingOneof() != nil:
		kind = "oneof " + kind
	}
	return fmt.Sprintf("%d %s", f.Number(), kind)
}
