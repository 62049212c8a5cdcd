-- Presence
SELECT COUNT(*) AS n, COUNT("n") AS p0, COUNT("m") AS p1, COUNT("f") AS p2, COUNT("x""; DROP TABLE t; -- `'\ %s é") AS p3, COUNT("b") AS p4, COUNT("l") AS p5, COUNT("k") AS p6 FROM "lake"."odd""schema"."trips";

-- Totals
SELECT COUNT(v0), SUM(CASE WHEN v0 = 'NaN'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v0 < '-1.7976931348623157e+308'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v0 > '1.7976931348623157e+308'::float8 AND NOT v0 = 'NaN'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v0 = 0 THEN 1 ELSE 0 END), SUM(CASE WHEN v0 >= '-1.7976931348623157e+308'::float8 AND v0 <= '1.7976931348623157e+308'::float8 THEN 1 ELSE 0 END), MIN(CASE WHEN v0 >= '-1.7976931348623157e+308'::float8 AND v0 <= '1.7976931348623157e+308'::float8 THEN v0 END), MAX(CASE WHEN v0 >= '-1.7976931348623157e+308'::float8 AND v0 <= '1.7976931348623157e+308'::float8 THEN v0 END), COUNT(v1), SUM(CASE WHEN v1 = 'NaN'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v1 < '-1.7976931348623157e+308'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v1 > '1.7976931348623157e+308'::float8 AND NOT v1 = 'NaN'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v1 = 0 THEN 1 ELSE 0 END), SUM(CASE WHEN v1 >= '-1.7976931348623157e+308'::float8 AND v1 <= '1.7976931348623157e+308'::float8 THEN 1 ELSE 0 END), MIN(CASE WHEN v1 >= '-1.7976931348623157e+308'::float8 AND v1 <= '1.7976931348623157e+308'::float8 THEN v1 END), MAX(CASE WHEN v1 >= '-1.7976931348623157e+308'::float8 AND v1 <= '1.7976931348623157e+308'::float8 THEN v1 END), COUNT(v2), SUM(CASE WHEN v2 = 'NaN'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v2 < '-1.7976931348623157e+308'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v2 > '1.7976931348623157e+308'::float8 AND NOT v2 = 'NaN'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v2 = 0 THEN 1 ELSE 0 END), SUM(CASE WHEN v2 >= '-1.7976931348623157e+308'::float8 AND v2 <= '1.7976931348623157e+308'::float8 THEN 1 ELSE 0 END), MIN(CASE WHEN v2 >= '-1.7976931348623157e+308'::float8 AND v2 <= '1.7976931348623157e+308'::float8 THEN v2 END), MAX(CASE WHEN v2 >= '-1.7976931348623157e+308'::float8 AND v2 <= '1.7976931348623157e+308'::float8 THEN v2 END) FROM (SELECT ("n")::float8 AS v0, TRUNC(EXTRACT(EPOCH FROM "m") * 1000)::float8 AS v1, ("f")::int::float8 AS v2 FROM "lake"."odd""schema"."trips") AS t;

-- Sums
SELECT SUM(CASE WHEN v0 >= '-1.7976931348623157e+308'::float8 AND v0 <= '1.7976931348623157e+308'::float8 THEN CASE WHEN ABS((v0 - '0.5'::float8)) <= '2.2250738585072014e-308'::float8 THEN 0 ELSE ((v0 - '0.5'::float8) / '2e-308'::float8) END END), SUM(CASE WHEN v1 >= '-1.7976931348623157e+308'::float8 AND v1 <= '1.7976931348623157e+308'::float8 THEN CASE WHEN ABS((v1 - '1500000000000.0'::float8)) <= '1e-140'::float8 THEN 0 ELSE ((v1 - '1500000000000.0'::float8) / '10000000000.0'::float8) * ((v1 - '1500000000000.0'::float8) / '10000000000.0'::float8) END END) FROM (SELECT ("n")::float8 AS v0, TRUNC(EXTRACT(EPOCH FROM "m") * 1000)::float8 AS v1 FROM "lake"."odd""schema"."trips") AS t;

-- Bins
SELECT 0 AS c, b, COUNT(*) AS n, MIN(v) AS least, MAX(v) AS most FROM (SELECT v, WIDTH_BUCKET(v, '{-1.5, 0.0, 1e+300}'::float8[]) AS b FROM (SELECT ("n")::float8 AS v FROM "lake"."odd""schema"."trips") AS t WHERE v >= '-2.0'::float8 AND v <= '1e+300'::float8) AS g GROUP BY b
UNION ALL
SELECT 1 AS c, b, COUNT(*) AS n, MIN(v) AS least, MAX(v) AS most FROM (SELECT v, CASE WHEN v <= '1.0'::float8 THEN CASE WHEN v <= '5e-324'::float8 THEN 0 ELSE 1 END ELSE 2 END AS b FROM (SELECT ("n")::float8 AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IS NOT NULL AND NOT v = 'NaN'::float8) AS g GROUP BY b;

-- Numbers
SELECT 0 AS c, v, COUNT(*) AS n FROM (SELECT ("n")::float8 AS v FROM "lake"."odd""schema"."trips") AS t WHERE (v >= '-1.0'::float8 AND v <= '-0.5'::float8) OR (v >= '0.25'::float8 AND v <= '0.3333333333333333'::float8) GROUP BY v;

-- Groups
SELECT 0 AS c, COUNT(*) AS d, SUM(n) AS n, SUM(n * s) AS s, MIN(s) AS least, MAX(s) AS most FROM (SELECT n, OCTET_LENGTH(v) AS s FROM (SELECT v, COUNT(*) AS n FROM (SELECT ("x""; DROP TABLE t; -- `'\ %s é")::text COLLATE "C" AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IS NOT NULL GROUP BY v) AS g) AS h
UNION ALL
SELECT 1 AS c, COUNT(*) AS d, SUM(n) AS n, SUM(n * s) AS s, MIN(s) AS least, MAX(s) AS most FROM (SELECT n, OCTET_LENGTH(v) AS s FROM (SELECT v, COUNT(*) AS n FROM (SELECT ("f")::text COLLATE "C" AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IS NOT NULL GROUP BY v) AS g) AS h
UNION ALL
SELECT 2 AS c, COUNT(*) AS d, SUM(n) AS n, SUM(n * s) AS s, MIN(s) AS least, MAX(s) AS most FROM (SELECT n, OCTET_LENGTH(v) AS s FROM (SELECT v, COUNT(*) AS n FROM (SELECT "b" AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IS NOT NULL GROUP BY v) AS g) AS h;

-- Top
(SELECT 0 AS c, v, n FROM (SELECT v, COUNT(*) AS n FROM (SELECT ("x""; DROP TABLE t; -- `'\ %s é")::text COLLATE "C" AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IS NOT NULL GROUP BY v) AS g WHERE n >= 1 ORDER BY n DESC, v DESC LIMIT 1000)
UNION ALL
(SELECT 1 AS c, v, n FROM (SELECT v, COUNT(*) AS n FROM (SELECT ("f")::text COLLATE "C" AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IS NOT NULL GROUP BY v) AS g WHERE n >= 5 ORDER BY n DESC, v ASC LIMIT 100);

-- Repeats
SELECT 0 AS c, n, COUNT(*) AS d FROM (SELECT v, COUNT(*) AS n FROM (SELECT ("x""; DROP TABLE t; -- `'\ %s é")::text COLLATE "C" AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IS NOT NULL GROUP BY v) AS g GROUP BY n
UNION ALL
SELECT 1 AS c, n, COUNT(*) AS d FROM (SELECT v, COUNT(*) AS n FROM (SELECT ("f")::text COLLATE "C" AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IS NOT NULL GROUP BY v) AS g GROUP BY n;

-- Among
SELECT 0 AS c, v, COUNT(*) AS n FROM (SELECT ("x""; DROP TABLE t; -- `'\ %s é")::text COLLATE "C" AS v FROM "lake"."odd""schema"."trips") AS t WHERE v IN ('a', 'it''s', E'back\\slash', 'quo"te', 'new
line', '🦆') GROUP BY v;

-- Lengths
SELECT 0 AS c, l, COUNT(*) AS n FROM (SELECT CASE WHEN "l" IS NOT NULL THEN COALESCE(ARRAY_LENGTH("l", 1), 0) END AS l FROM "lake"."odd""schema"."trips" WHERE "l" IS NOT NULL) AS t GROUP BY l
UNION ALL
SELECT 1 AS c, l, COUNT(*) AS n FROM (SELECT CARDINALITY("k") AS l FROM "lake"."odd""schema"."trips" WHERE "k" IS NOT NULL) AS t GROUP BY l;

-- Levels
SELECT 0 AS c, l, COUNT(*) AS n FROM (SELECT CASE WHEN x IS NOT NULL THEN COALESCE(ARRAY_LENGTH(x, 1), 0) END AS l FROM (SELECT "l" AS x FROM "lake"."odd""schema"."trips") AS t) AS u GROUP BY l
UNION ALL
SELECT 1 AS c, l, COUNT(*) AS n FROM (SELECT CASE WHEN x IS NOT NULL THEN COALESCE(ARRAY_LENGTH(x, 1), 0) END AS l FROM (SELECT "k" AS x FROM "lake"."odd""schema"."trips") AS t) AS u GROUP BY l
UNION ALL
SELECT 2 AS c, l, COUNT(*) AS n FROM (SELECT CASE WHEN x IS NOT NULL THEN COALESCE(ARRAY_LENGTH(x, 2), 0) END AS l FROM (SELECT x FROM (SELECT "k" AS x FROM "lake"."odd""schema"."trips") AS l0 CROSS JOIN LATERAL GENERATE_SERIES(1, COALESCE(ARRAY_LENGTH(x, 1), 0)) AS i0) AS t) AS u GROUP BY l;

-- Failing
SELECT SUM(CASE WHEN NOT (arrival >= departure
) THEN 1 ELSE 0 END), SUM(CASE WHEN NOT (n > 0 -- always
) THEN 1 ELSE 0 END) FROM "lake"."odd""schema"."trips";

-- Totals
SELECT COUNT(v0), SUM(CASE WHEN v0 = 'NaN'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v0 < '-1.7976931348623157e+308'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v0 > '1.7976931348623157e+308'::float8 AND NOT v0 = 'NaN'::float8 THEN 1 ELSE 0 END), SUM(CASE WHEN v0 = 0 THEN 1 ELSE 0 END), SUM(CASE WHEN v0 >= '-1.7976931348623157e+308'::float8 AND v0 <= '1.7976931348623157e+308'::float8 THEN 1 ELSE 0 END), MIN(CASE WHEN v0 >= '-1.7976931348623157e+308'::float8 AND v0 <= '1.7976931348623157e+308'::float8 THEN v0 END), MAX(CASE WHEN v0 >= '-1.7976931348623157e+308'::float8 AND v0 <= '1.7976931348623157e+308'::float8 THEN v0 END) FROM (SELECT v AS v0 FROM (SELECT (x)::float8 AS v FROM (SELECT UNNEST("l") AS x FROM "lake"."odd""schema"."trips") AS e) AS w) AS t;

-- Bins
SELECT 0 AS c, b, COUNT(*) AS n, MIN(v) AS least, MAX(v) AS most FROM (SELECT v, WIDTH_BUCKET(v, '{0.0}'::float8[]) AS b FROM (SELECT (x)::float8 AS v FROM (SELECT UNNEST("l") AS x FROM "lake"."odd""schema"."trips") AS e) AS t WHERE v >= '-1.0'::float8 AND v <= '1.0'::float8) AS g GROUP BY b;

-- a slice of a query
SELECT COUNT(*) AS n, COUNT("n") AS p0 FROM (SELECT * FROM (SELECT * FROM t
) AS asked WHERE ("x""; DROP TABLE t; -- `'\ %s é")::text COLLATE "C" = 'it''s') AS part;
