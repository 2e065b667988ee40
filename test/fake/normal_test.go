package fake_test

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// normalise changes a response so that the responses of two servers can be compared. Some contents
// differ between servers, or between runs of one server:
//
//	the cluster's ID                            dropped
//	IDs of members and leases                   kept: the dictionary has translated them
//	name and URLs of the first member           kept: the dictionary has translated them
//	the term and the index of the log           dropped
//	tokens                                      only whether there is one
//	the remaining TTL of a lease                only whether it is positive
//	lists of members, leases, lease keys and    sorted: etcd's order is random or by time
//	alarms
//	size and hash of the database file          dropped
//	the storage version                         dropped: etcd raises it seconds after its start
//	spaces in the text of an alarm              single: protobuf varies them by the binary
func normalise(m protoreflect.Message) {
	switch msg := m.Interface().(type) {
	case *pb.ResponseHeader:
		msg.ClusterId, msg.RaftTerm = 0, 0
	case *pb.LeaseTimeToLiveResponse:
		msg.TTL = min(msg.TTL, 1)
		slices.SortFunc(msg.Keys, slices.Compare)
	case *pb.LeaseLeasesResponse:
		slices.SortFunc(msg.Leases, func(a, b *pb.LeaseStatus) int {
			return cmp.Compare(a.ID, b.ID)
		})
	case *pb.AuthenticateResponse:
		msg.Token = strings.Repeat("t", min(1, len(msg.Token)))
	case *pb.AlarmResponse:
		slices.SortFunc(msg.Alarms, func(a, b *pb.AlarmMember) int {
			return cmp.Compare(a.MemberID*8+uint64(a.Alarm), b.MemberID*8+uint64(b.Alarm))
		})
	case *pb.HashResponse:
		msg.Hash = 0
	case *pb.StatusResponse:
		normaliseStatus(msg)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				normalise(v.List().Get(i).Message())
			}
			if fd.Message().Name() == "Member" {
				sortMembers(v.List())
			}
		default:
			normalise(v.Message())
		}
		return true
	})
}

func normaliseStatus(msg *pb.StatusResponse) {
	msg.DbSize, msg.DbSizeInUse, msg.RaftIndex, msg.RaftAppliedIndex, msg.RaftTerm = 0, 0, 0, 0, 0
	msg.StorageVersion = ""
	for i, text := range msg.Errors {
		msg.Errors[i] = strings.Join(strings.Fields(text), " ")
	}
	slices.Sort(msg.Errors)
}

func sortMembers(list protoreflect.List) {
	members := make([]*pb.Member, list.Len())
	for i := range members {
		members[i] = list.Get(i).Message().Interface().(*pb.Member)
	}
	slices.SortFunc(members, func(a, b *pb.Member) int { return cmp.Compare(a.ID, b.ID) })
	for i, m := range members {
		list.Set(i, protoreflect.ValueOfMessage(m.ProtoReflect()))
	}
}

// dictionary translates the IDs and texts that each server chooses for itself. IDs are large
// numbers, so no other number in a message is taken for an ID. The goroutines that receive from
// watches read the dictionary while calls add to it.
type dictionary struct {
	mu      sync.RWMutex      // guards the maps
	numbers map[uint64]uint64 // from the real server's ID to the fake's
	back    map[uint64]uint64 // from the fake's ID to the real server's
	texts   map[string]string
}

func newDictionary() *dictionary {
	return &dictionary{numbers: make(map[uint64]uint64), back: make(map[uint64]uint64),
		texts: make(map[string]string)}
}

func (d *dictionary) number(real, fake uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if real != fake {
		d.numbers[real], d.back[fake] = fake, real
	}
}

// learn compares two messages that have the same fields set, and adds their different IDs and their
// texts to the dictionary.
func (d *dictionary) learn(real, fake protoreflect.Message) {
	real.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		other := fake.Get(fd)
		if !fd.IsList() {
			d.learnValue(fd, v, other)
			return true
		}
		for i := range v.List().Len() {
			d.learnValue(fd, v.List().Get(i), other.List().Get(i))
		}
		return true
	})
}

func (d *dictionary) learnValue(fd protoreflect.FieldDescriptor, real, fake protoreflect.Value) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		d.learn(real.Message(), fake.Message())
	case protoreflect.Uint64Kind:
		d.number(real.Uint(), fake.Uint())
	case protoreflect.StringKind:
		d.mu.Lock()
		d.texts[real.String()] = fake.String()
		d.mu.Unlock()
	default:
	}
}

func (d *dictionary) toReal(m proto.Message) proto.Message {
	m = proto.Clone(m)
	d.mu.RLock()
	defer d.mu.RUnlock()
	translate(m.ProtoReflect(), d.back, nil)
	return m
}

func (d *dictionary) toFake(m proto.Message) proto.Message {
	m = proto.Clone(m)
	d.mu.RLock()
	defer d.mu.RUnlock()
	translate(m.ProtoReflect(), d.numbers, d.texts)
	return m
}

func translate(
	m protoreflect.Message, numbers map[uint64]uint64, texts map[string]string,
) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsMap() {
			return true
		}
		if !fd.IsList() {
			if v, changed := translated(fd, v, numbers, texts); changed {
				m.Set(fd, v)
			}
			return true
		}
		for i := range v.List().Len() {
			if e, changed := translated(fd, v.List().Get(i), numbers, texts); changed {
				v.List().Set(i, e)
			}
		}
		return true
	})
}

func translated(
	fd protoreflect.FieldDescriptor, v protoreflect.Value, numbers map[uint64]uint64,
	texts map[string]string,
) (protoreflect.Value, bool) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		translate(v.Message(), numbers, texts)
	case protoreflect.Uint64Kind:
		if n, ok := numbers[v.Uint()]; ok {
			return protoreflect.ValueOfUint64(n), true
		}
	case protoreflect.Int64Kind:
		if n, ok := numbers[uint64(v.Int())]; ok {
			return protoreflect.ValueOfInt64(int64(n)), true
		}
	case protoreflect.StringKind:
		if s, ok := texts[v.String()]; ok {
			return protoreflect.ValueOfString(s), true
		}
	default:
	}
	return v, false
}
