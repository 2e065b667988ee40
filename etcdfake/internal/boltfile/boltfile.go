// Package boltfile writes files in the format of bbolt, the embedded database of etcd. An etcd
// member keeps its data in such a file, and a snapshot of etcd is such a file.
//
// A file is a sequence of pages of 4 KiB. Pages 0 and 1 hold the number of the root page. Page 2
// lists the free pages; the files of this package have none.
//
// Every bucket has a tree of its own: one leaf, or a branch over several leaves. A leaf spans as
// many pages as it needs. The root page is a leaf with an item for each bucket. This item holds the
// bucket's name, and the number of the root page of its tree.
package boltfile

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
)

const (
	pageSize    = 4096
	headerSize  = 16
	elementSize = 16

	branchFlag, leafFlag, metaFlag, freeFlag = 0x01, 0x02, 0x04, 0x10

	magic, version = 0xED0CDAED, 2
	// leafItems is how many items a leaf holds at most. The format stores the number of items in 16
	// bits.
	leafItems = 10_000
)

// Item is a key and its value.
type Item struct {
	Key, Value []byte // Key is not empty
}

// Bucket is a named set of items.
type Bucket struct {
	Name  string // not empty
	Items []Item // sorted by key, ascending
}

// file holds the pages of a database file that is being written.
type file struct{ pages []byte }

// Write returns the bytes of a database file with the buckets. Write sorts its arguments by name,
// in place.
func Write(buckets ...Bucket) []byte {
	f := &file{pages: make([]byte, 3*pageSize)}
	slices.SortFunc(buckets, func(a, b Bucket) int { return strings.Compare(a.Name, b.Name) })
	var roots []Item
	for _, b := range buckets {
		value := binary.LittleEndian.AppendUint64(nil, f.tree(b.Items))
		roots = append(roots, Item{Key: []byte(b.Name), Value: append(value, make([]byte, 8)...)})
	}
	root := f.leaf(roots, 1)
	high := uint64(len(f.pages) / pageSize)
	for id := range uint64(2) {
		header(f.pages[id*pageSize:], id, metaFlag, 0, 0)
		meta(f.pages[id*pageSize+headerSize:], root, high, id)
	}
	header(f.pages[2*pageSize:], 2, freeFlag, 0, 0)
	return f.pages
}

// header writes the header of a page.
func header(page []byte, id uint64, flags, count uint16, overflow uint32) {
	binary.LittleEndian.PutUint64(page, id)
	binary.LittleEndian.PutUint16(page[8:], flags)
	binary.LittleEndian.PutUint16(page[10:], count)
	binary.LittleEndian.PutUint32(page[12:], overflow)
}

// meta writes the body of page 0 or 1: the number of the root page, the number of pages, and a
// checksum.
func meta(page []byte, root, high, tx uint64) {
	b := binary.LittleEndian.AppendUint32(page[:0], magic)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, pageSize)
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, n := range []uint64{root, 0, 2, high, tx} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b) // never fails
	binary.LittleEndian.AppendUint64(b, sum.Sum64())
}

// tree writes the items of a bucket and returns the number of the bucket's root page.
func (f *file) tree(items []Item) uint64 {
	if len(items) <= leafItems {
		return f.leaf(items, 0)
	}
	var leaves []Item // for each leaf: its first key, and the number of its first page
	for chunk := range slices.Chunk(items, leafItems) {
		page := binary.LittleEndian.AppendUint64(nil, f.leaf(chunk, 0))
		leaves = append(leaves, Item{Key: chunk[0].Key, Value: page})
	}
	return f.branch(leaves)
}

// leaf writes a leaf with the items to new pages and returns the number of the first page. Each
// item gets the flags: 1 for a bucket, and 0 for a key and its value.
func (f *file) leaf(items []Item, flags uint32) uint64 {
	size := headerSize + len(items)*elementSize
	for _, it := range items {
		size += len(it.Key) + len(it.Value)
	}
	id, page := f.grow(size, leafFlag, len(items))
	pos := headerSize + len(items)*elementSize
	for i, it := range items {
		at := headerSize + i*elementSize
		e := page[at:]
		binary.LittleEndian.PutUint32(e, flags)
		binary.LittleEndian.PutUint32(e[4:], uint32(pos-at))
		binary.LittleEndian.PutUint32(e[8:], uint32(len(it.Key)))
		binary.LittleEndian.PutUint32(e[12:], uint32(len(it.Value)))
		pos += copy(page[pos:], it.Key)
		pos += copy(page[pos:], it.Value)
	}
	return id
}

// branch writes a branch over leaves to new pages and returns the number of the first page. Each
// child is the first key and the page number of a leaf.
func (f *file) branch(children []Item) uint64 {
	size := headerSize + len(children)*elementSize
	for _, c := range children {
		size += len(c.Key)
	}
	id, page := f.grow(size, branchFlag, len(children))
	pos := headerSize + len(children)*elementSize
	for i, c := range children {
		at := headerSize + i*elementSize
		e := page[at:]
		binary.LittleEndian.PutUint32(e, uint32(pos-at))
		binary.LittleEndian.PutUint32(e[4:], uint32(len(c.Key)))
		copy(e[8:16], c.Value)
		pos += copy(page[pos:], c.Key)
	}
	return id
}

// grow appends new pages that hold at least size bytes. It writes the header of the first new page,
// with the given flags and count of items. It returns the number of the first new page, and the
// bytes of all new pages.
func (f *file) grow(size int, flags uint16, count int) (id uint64, page []byte) {
	start := len(f.pages)
	pages := (size + pageSize - 1) / pageSize
	f.pages = append(f.pages, make([]byte, pages*pageSize)...)
	id = uint64(start / pageSize)
	header(f.pages[start:], id, flags, uint16(count), uint32(pages-1))
	return id, f.pages[start:]
}
