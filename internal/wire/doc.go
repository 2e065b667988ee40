// Package wire is a gRPC codec for the calls that the client makes. It decodes answers that hold
// keys, values and events. It makes a few allocations for a whole message, where the protobuf
// library makes several for each key.
//
// # Which calls use it
//
// [Options] returns the call option that the client adds to its calls. Nothing is registered with
// gRPC. The codec has no name, so the content type of requests stays application/grpc. [Settle]
// removes the option from a call for which the program has chosen a codec or a content subtype. If
// the program has replaced gRPC's codec for protobuf, Options returns no option.
//
// # Fast path and library
//
// The fast path decodes RangeResponse, RangeStreamResponse, PutResponse, DeleteRangeResponse,
// TxnResponse, WatchResponse and LeaseKeepAliveResponse. It knows the fields that these messages
// have in api/v3, each with its usual wire type and a tag of one byte. If it meets anything else,
// it gives up, and the protobuf library decodes the message from the start. Examples are an unknown
// field, a protobuf group, a second copy of a message field that is not repeated, a length past the
// end, invalid UTF-8, and deep nesting.
//
// So unknown fields are kept, and malformed input has the library's error. For a message that the
// fast path accepts, its result equals the library's, down to which slices are nil.
//
// The library decodes all other messages, and encodes all messages.
//
// # Memory
//
// The buffers of gRPC's transport go back to their pool when Unmarshal returns. So the fast path
// copies their bytes, once:
//
//	buffers of the transport   … | kv kv kv | kv kv …        encoded, pieces of 16 KiB
//	                               \  copied unchanged
//	slab of bytes              | kv kv kv kv |               keys and values point into it
//	slab of structs            | KeyValue KeyValue … |       point to keys and values
//
// A group is a run of key-value pairs (or of events) in the message, up to a limit. A slab of bytes
// holds the encoded pairs of a group. The keys and values are slices of that slab. The capacity of
// each slice ends where the slice ends, so that an append copies it. The structs of a group form a
// slab, too. A message is read once, group by group, so the number of its pairs is known only after
// the last group.
//
// Invariants:
//
//   - No two decoded messages share memory, and no message shares memory with the transport. A
//     program may change each part of a response.
//   - The slabs of a group take at most 64 KiB together, unless the group is a single pair or
//     event. A KeyValue or Event points into the slabs of its group only. So a program that keeps
//     a single KeyValue or Event keeps at most 64 KiB of other memory alive with it.
//   - The pairs of a group are counted before memory is allocated for them, and each pair takes at
//     least two bytes of the message. The list of pairs has room for at most 16 times as many as
//     were counted. So a short message cannot cause a large allocation.
package wire
