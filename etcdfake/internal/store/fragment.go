package store

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// fragmentBytes is the smallest size in bytes of a watch response that etcd splits into fragments.
// It is the maximum size of a request, plus 512 KiB for the other parts of a message.
const fragmentBytes = maxRequestBytes + 512*1024

// fragments splits a watch response for a watcher that has asked for fragments. Each fragment has
// at least one event. Every fragment except the last has the field Fragment set.
func fragments(resp *pb.WatchResponse) []*pb.WatchResponse {
	if proto.Size(resp) < fragmentBytes || len(resp.Events) < 2 {
		return []*pb.WatchResponse{resp}
	}
	var out []*pb.WatchResponse
	for rest := resp.Events; len(rest) > 0; {
		part := &pb.WatchResponse{Header: resp.Header, WatchId: resp.WatchId, Fragment: true}
		for _, ev := range rest {
			part.Events = append(part.Events, ev)
			if len(part.Events) > 1 && proto.Size(part) >= fragmentBytes {
				part.Events = part.Events[:len(part.Events)-1]
				break
			}
		}
		rest = rest[len(part.Events):]
		out = append(out, part)
	}
	out[len(out)-1].Fragment = false
	return out
}
