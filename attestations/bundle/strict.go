package bundle

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"palisade/attestations/intoto"
)

const (
	// maxBundle is beyond the largest statement there is, the SPDX document of a
	// component, in base64.
	maxBundle = 64 << 20
	maxDepth  = 16   // the formats nest eight
	maxItems  = 1000 // of one list or object
)

// MaxRoot bounds a trusted root, in bytes.
const MaxRoot = 4 << 20

// decode reads JSON of a message's form into it: one value of at most limit
// bytes and maxDepth levels, in which no object has a key twice and every field
// is one of the message's.
func decode(data []byte, into proto.Message, limit int) error {
	// Bounds and keys first, before anything is built of them. Protobuf's reader
	// then refuses unknown fields, and a field that is there in both spellings.
	var whole json.RawMessage
	if err := intoto.Decode(data, &whole, intoto.Limits{Size: limit, Depth: maxDepth, Items: maxItems}); err != nil {
		return err
	}
	if err := (protojson.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(data, into); err != nil {
		// Protobuf's errors have other spaces in every build, on purpose.
		return fmt.Errorf("not of its form: %s", strings.ReplaceAll(err.Error(), "\u00a0", " "))
	}
	return nil
}
