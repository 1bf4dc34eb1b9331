package intoto

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Why Decode refuses, each its own.
var (
	ErrTooLarge     = errors.New("it is too large")
	ErrTooDeep      = errors.New("it is nested too deeply")
	ErrNotJSON      = errors.New("it is not one JSON value in UTF-8")
	ErrDuplicateKey = errors.New("a key is there twice")
	ErrUnknownKey   = errors.New("a key is not known")
	ErrValue        = errors.New("a value is not of the kind that belongs there")
)

// Limits bounds what Decode reads: bytes, nested lists and objects, and
// elements of any one of them. The zero Limits allows nothing.
type Limits struct{ Size, Depth, Items int }

// Decode reads the one JSON value in data into a variable of encoding/json's
// making, but strictly: an object at any depth has no key twice; one that
// becomes a struct has only keys that are its fields', in the same capitals;
// null is nowhere but inside a value that is kept as it is (any,
// json.RawMessage); no string holds half a surrogate pair, which encoding/json
// would replace. Whether a field was there at all is for the caller to see.
//
// into must not hold embedded structs.
func Decode(data []byte, into any, limits Limits) error {
	if err := check(data, into, limits); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %w", ErrValue, err)
	}
	return nil
}

// check is Decode without its result. into may be nil.
func check(data []byte, into any, limits Limits) error {
	if len(data) > limits.Size {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, len(data), limits.Size)
	}
	if !utf8.Valid(data) {
		return ErrNotJSON
	}
	if !json.Valid(data) {
		var syntax *json.SyntaxError
		// Only the error of Unmarshal says where.
		if err := json.Unmarshal(data, new(json.RawMessage)); errors.As(err, &syntax) {
			return fmt.Errorf("%w: near byte %d: %w", ErrNotJSON, syntax.Offset, err)
		}
		return ErrNotJSON
	}
	s := scanner{data: data, limits: limits}
	if err := s.value(shapeOf(into), 1); err != nil {
		return fmt.Errorf("near byte %d: %w", s.at, err)
	}
	return nil
}
