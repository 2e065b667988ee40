// Package wire is the client's own gRPC codec. It decodes the answers that hold keys, values and
// events with a few allocations for a whole message, where the protobuf library makes several for
// each key.
//
// # Which calls use it
//
// [Options] returns the call option of the client's own calls. Nothing is registered with gRPC. The
// codec has no name, so the content type of requests stays application/grpc. [Settle] takes the
// option back from a call for which the program has chosen a codec or a content subtype, and
// Options returns no option in a program that has replaced gRPC's codec for protobuf.
//
// # Fast path and library
//
// The fast path decodes RangeResponse, RangeStreamResponse, PutResponse, DeleteRangeResponse,
// TxnResponse, WatchResponse and LeaseKeepAliveResponse. It knows the fields that these messages
// have in api/v3, each with its usual wire type and a tag of one byte, and each message field that
// is not repeated at most once. If it meets anything else (an unknown field, a group, a message
// field that is split, a length past the end, invalid UTF-8, deep nesting), it gives the message
// up, and the protobuf library decodes it from the start. So unknown fields are kept, and input
// that is malformed is refused as the library refuses it. What the fast path accepts has the
// library's result, down to which slices are nil.
//
// All other messages are decoded by the library, and all are encoded by it.
//
// # Memory
//
// The transport's buffers go back to their pool when Unmarshal returns. What they hold is copied
// once:
//
//	buffers of the transport   … | kv kv kv | kv kv …        encoded, pieces of 16 KiB
//	                               \  copied as it is
//	slab of bytes              | kv kv kv kv |               keys and values point into it
//	slab of structs            | KeyValue KeyValue … |       point to keys and values
//
// A slab of bytes holds the encoded key-value pairs (or events) of a group, which are those that
// follow one another in the message, up to a limit. Its keys and values are slices of the slab with
// their capacity cut, so that an append copies them. The structs of the group form a slab, too. A
// message is read once, group by group: its number of pairs is not known before its last group.
//
// Invariants:
//
//   - No two decoded messages share memory, and nothing shares memory with the transport. A program
//     may change each part of a response.
//   - The slabs of a group take at most 64 KiB together, unless the group is a single pair or
//     event. A KeyValue or Event points into its own group only. So keeping one alive keeps at most
//     64 KiB more than its own bytes.
//   - The pairs of a group are counted before memory is allocated for them, and each of them takes
//     at least two bytes of the message. The list of pairs has room for at most 16 times as many as
//     were counted.
package wire
