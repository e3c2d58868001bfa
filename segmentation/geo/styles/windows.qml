<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips">
  <renderer-v2 type="categorizedSymbol" attr="CASE WHEN &quot;written&quot; THEN &quot;split&quot; ELSE 'not written' END">
    <categories>
      <category symbol="0" value="train" type="string" label="train" render="true"/>
      <category symbol="1" value="val" type="string" label="val" render="true"/>
      <category symbol="2" value="test" type="string" label="test" render="true"/>
      <category symbol="3" value="not written" type="string" label="not written" render="true"/>
    </categories>
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,229,255,255"/>
          <prop k="line_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="124,255,79,255"/>
          <prop k="line_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="213,156,255,255"/>
          <prop k="line_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="3" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="160,160,160,255"/>
          <prop k="line_style" v="dash"/>
          <prop k="line_width" v="0.3"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <mapTip enabled="1">&lt;b>[% "split" %]&lt;/b>, [% "status" %]</mapTip>
</qgis>
