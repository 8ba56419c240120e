// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"maps"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// box is a part of a file, with a kind.
type box struct {
	kind string
	body []byte
}

// nextBox returns the first box (ISO/IEC 14496-12, 4.2), and the data after it.
func nextBox(data []byte) (b box, rest []byte, ok bool) {
	if len(data) < 8 {
		return b, nil, false
	}
	size, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
	switch {
	case size == 0: // up to the end
		size = uint64(len(data))
	case size == 1 && len(data) >= 16:
		size, head = binary.BigEndian.Uint64(data[8:]), 16
	}
	if size < head || size > uint64(len(data)) {
		return b, nil, false
	}
	return box{string(data[4:8]), data[head:size]}, data[size:], true
}

// fields reads numbers from the front of data. At the end of data, numbers are 0 and short is set.
type fields struct {
	data  []byte
	short bool
}

// take reads a big-endian number of up to 8 bytes.
func (f *fields) take(size int) (n uint64) {
	for _, b := range f.bytes(size) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (f *fields) bytes(size int) []byte {
	if size < 0 || size > len(f.data) {
		f.data, f.short = nil, true
		return nil
	}
	taken := f.data[:size:size]
	f.data = f.data[size:]
	return taken
}

func (f *fields) skip(size int) { f.bytes(size) }

// version reads the version and the flags of a full box.
func (f *fields) version() (version, flags uint64) {
	v := f.take(4)
	return v >> 24, v & 0xffffff
}

// id reads the ID of an item, in 4 bytes if wide, or else in 2.
func (f *fields) id(wide bool) uint32 {
	if wide {
		return uint32(f.take(4))
	}
	return uint32(f.take(2))
}

// property describes an item, for example its size.
type property struct {
	box
	essential bool // a reader that does not know the property must not show the item
}

// heifItem is a picture, a part of one, or metadata.
type heifItem struct {
	id         uint32
	kind       string
	content    string     // media type, for the kind "mime" only
	properties []property // in order
	extents    []extent
	inData     bool // extents are in the idat box rather than in the file
	refused    bool // the data is in another file or item
}

// extent is a range of an item's data.
type extent struct{ offset, length uint64 }

// property returns the first property of a kind, or nil if there is none.
func (i *heifItem) property(kind string) []byte {
	for _, p := range i.properties {
		if p.kind == kind {
			return p.body
		}
	}
	return nil
}

// knownProperties are the properties that an item may mark as essential and still be read.
var knownProperties = []string{"hvcC", "ispe", "irot", "imir", "clap", "colr", "pixi", "pasp", "auxC"}

// size returns the size of a picture, in pixels. It fails if the item has no size, or an essential property that is not
// known.
func (i *heifItem) size() (image.Point, error) {
	for _, p := range i.properties {
		if p.essential && !slices.Contains(knownProperties, p.kind) {
			return image.Point{}, fmt.Errorf("%w: a picture with the property %q: convert it to JPEG", media.ErrUnsupported,
				p.kind)
		}
	}
	f := &fields{data: i.property("ispe")}
	f.version()
	w, h := f.take(4), f.take(4)
	const most = 1 << 20 // so that no product overflows; the limits are lower
	if f.short || w < 1 || h < 1 || w > most || h > most {
		return image.Point{}, fmt.Errorf("%w: a picture without a valid size", media.ErrDamaged)
	}
	return image.Pt(int(w), int(h)), nil
}

// heifItems are the items of a file.
type heifItems struct {
	file, itemData []byte
	primary        uint32
	of             map[uint32]*heifItem
	from           []reference
	read           int // bytes of items read so far
	entries        int // entries of all tables so far, see more
}

// reference leads from an item to the items that it is made of, or that it describes.
type reference struct {
	kind string
	from uint32
	to   []uint32
}

// maxItems bounds the items of a file, and the references between them. 256 megapixels in tiles of 512 pixels are 1,000
// items.
const maxItems = 1 << 12

const (
	maxEntries    = 16 * maxItems // of all tables together
	maxProperties = 64            // of an item, which usually has fewer than 10
)

// more counts an entry of a table or a NAL unit, and reports whether it may be read. In a file, an entry takes few
// bytes, or none at all.
func (s *heifItems) more() bool {
	s.entries++
	return s.entries <= maxEntries
}

// boxes returns the boxes in a body, up to the first invalid one.
func (s *heifItems) boxes(body []byte) (all []box) {
	for {
		b, rest, ok := nextBox(body)
		if !ok || !s.more() {
			return all
		}
		all, body = append(all, b), rest
	}
}

// readItems reads the boxes in the meta box.
func readItems(meta, file []byte) (*heifItems, error) {
	items := &heifItems{file: file, of: map[uint32]*heifItem{}}
	all := items.boxes(meta)
	for _, b := range all { // the other boxes refer to items
		if b.kind == "iinf" {
			items.readInfos(b.body)
		}
	}
	for _, b := range all {
		f := &fields{data: b.body}
		switch b.kind {
		case "pitm":
			version, _ := f.version()
			items.primary = f.id(version > 0)
		case "iloc":
			items.readLocations(f)
		case "iref":
			items.readReferences(b.body)
		case "iprp":
			items.readProperties(b.body)
		case "idat":
			items.itemData = b.body
		}
	}
	references := 0
	for _, r := range items.from {
		references += 1 + len(r.to)
	}
	if items.entries > maxEntries || len(items.of) > maxItems || references > 2*maxItems {
		return nil, fmt.Errorf("%w: more than %d items, or more about them than pictures have", media.ErrLimit, maxItems)
	}
	for _, item := range items.of {
		if len(item.properties) > maxProperties {
			return nil, fmt.Errorf("%w: an item with more than %d properties", media.ErrLimit, maxProperties)
		}
	}
	return items, nil
}

// readInfos reads the list of items (ISO/IEC 14496-12, 8.11.6).
func (s *heifItems) readInfos(body []byte) {
	f := &fields{data: body}
	version, _ := f.version()
	f.id(version > 0) // number of items
	for _, b := range s.boxes(f.data) {
		f := &fields{data: b.body}
		version, _ := f.version()
		id := f.id(version > 2)
		f.take(2)
		kind := f.bytes(4)
		if b.kind != "infe" || version < 2 || f.short {
			continue
		}
		item := &heifItem{id: id, kind: string(kind)}
		if item.kind == "mime" {
			_, content, _ := bytes.Cut(f.data, []byte{0}) // after the item's name
			content, _, _ = bytes.Cut(content, []byte{0})
			item.content = string(content)
		}
		s.of[id] = item
	}
}

// readLocations reads where the data of the items is (ISO/IEC 14496-12, 8.11.3).
func (s *heifItems) readLocations(f *fields) {
	version, _ := f.version()
	sizes := f.take(2)
	offsetSize, lengthSize := int(sizes>>12), int(sizes>>8&15)
	baseSize, indexSize := int(sizes>>4&15), int(sizes&15)
	if version == 0 {
		indexSize = 0
	}
	for range f.id(version > 1) {
		if f.short {
			return
		}
		item := s.of[f.id(version > 1)]
		if item == nil {
			item = &heifItem{} // not used
		}
		method := uint64(0)
		if version > 0 {
			method = f.take(2) & 15
		}
		item.inData, item.refused = method == 1, f.take(2) != 0 || method > 1
		base := f.take(baseSize)
		item.extents = nil
		for range f.take(2) {
			f.take(indexSize)
			item.extents = append(item.extents, extent{base + f.take(offsetSize), f.take(lengthSize)})
			if f.short || !s.more() {
				return
			}
		}
	}
}

// readReferences reads the references between items (ISO/IEC 14496-12, 8.11.12).
func (s *heifItems) readReferences(body []byte) {
	f := &fields{data: body}
	version, _ := f.version()
	for _, b := range s.boxes(f.data) {
		f := &fields{data: b.body}
		r := reference{kind: b.kind, from: f.id(version > 0)}
		for range f.take(2) {
			r.to = append(r.to, f.id(version > 0))
			if f.short || !s.more() {
				return
			}
		}
		s.from = append(s.from, r)
	}
}

// readProperties reads the properties of the items (ISO/IEC 23008-12, 9.3).
func (s *heifItems) readProperties(body []byte) {
	var properties []box
	all := s.boxes(body)
	for _, b := range all {
		if b.kind == "ipco" {
			properties = s.boxes(b.body)
		}
	}
	for _, b := range all {
		if b.kind != "ipma" {
			continue
		}
		f := &fields{data: b.body}
		version, flags := f.version()
		for range f.take(4) {
			item := s.of[f.id(version > 0)]
			for range f.take(1) {
				essential, index := readIndex(f, flags&1 != 0)
				if f.short || !s.more() {
					return
				}
				if item != nil && index >= 1 && index <= len(properties) {
					item.properties = append(item.properties, property{properties[index-1], essential})
				}
			}
			if f.short {
				return
			}
		}
	}
}

// readIndex reads the number of a property, which starts at 1.
func readIndex(f *fields, wide bool) (essential bool, index int) {
	if wide {
		v := f.take(2)
		return v>>15 != 0, int(v & 0x7fff)
	}
	v := f.take(1)
	return v>>7 != 0, int(v & 0x7f)
}

// all returns the items, ordered by ID.
func (s *heifItems) all() (all []*heifItem) {
	for _, id := range slices.Sorted(maps.Keys(s.of)) {
		all = append(all, s.of[id])
	}
	return all
}

// references returns the items that an item refers to.
func (s *heifItems) references(kind string, from uint32) (to []uint32) {
	for _, r := range s.from {
		if r.kind == kind && r.from == from {
			to = append(to, r.to...)
		}
	}
	return to
}

// referring returns the items that refer to an item.
func (s *heifItems) referring(kind string, to uint32) (from []uint32) {
	for _, r := range s.from {
		if r.kind == kind && slices.Contains(r.to, to) && s.of[r.from] != nil {
			from = append(from, r.from)
		}
	}
	return from
}

// data returns the data of an item. Items may share data, so the total that is read is limited to the size of the file.
func (s *heifItems) data(id uint32) ([]byte, error) {
	item := s.of[id]
	if item.refused {
		return nil, fmt.Errorf("%w: a part of it is in another file or item", media.ErrUnsupported)
	}
	from := s.file
	if item.inData {
		from = s.itemData
	}
	var data []byte
	for _, e := range item.extents {
		if e.offset > uint64(len(from)) || e.length > uint64(len(from))-e.offset {
			return nil, fmt.Errorf("%w: a part of it is missing", media.ErrDamaged)
		}
		part := from[e.offset:]
		if e.length > 0 { // a length of 0 means up to the end
			part = part[:e.length]
		}
		if s.read += len(part); s.read > len(s.file) {
			return nil, fmt.Errorf("%w: its parts overlap", media.ErrDamaged)
		}
		data = append(data, part...)
	}
	return data, nil
}
